"""Google Speech Commands v0.02: spoken words, one second each.

Warden, arXiv:1804.03209. Only the published test set, 4,890 clips of twelve classes, is used: the
archive of the other 100,000 clips (2.4 GB) is left out. Its clips are divided here by speaker.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from spikeram.datasets.labelled import LabelledSet, check_part
from spikeram.datasets.published import PublishedFile, at_hand, obtain, reading
from spikeram.datasets.speech_features import N_BANDS, N_FRAMES, SAMPLE_RATE, log_mel
from spikeram.errors import FileFormatError
from spikeram.files import read_arrays

_ARCHIVE = PublishedFile(
    folder="speech_commands",
    name="speech_commands_test_set_v0.02.tar.gz",
    url="https://storage.googleapis.com/download.tensorflow.org/data/"
    "speech_commands_test_set_v0.02.tar.gz",
    checksum="sha256:cc2a00c1147c2254e9be3fa0f779d8c17421dc349b86366567a8edfa9acd51df",
)
_PACKED = "gsc_v002_testset_logmel40.npz"

_SILENCE, _UNKNOWN = "_silence_", "_unknown_"
_CLASSES = (
    "yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", _SILENCE, _UNKNOWN,
)  # fmt: skip

# The word stands before the speaker where all words share one folder.
_SPOKEN = re.compile(r"(?:([a-z]+)_)?(([0-9a-f]{8})_nohash_\d+\.wav)(?:\.wav)?")

_PARTS = ("train", "validation", "test")
_NOTE = "divided by speaker from the 4,890 clips of the published test set alone"

# Shares of the speakers, in per cent.
_TEST, _VALIDATION = 20, 10


def speech_commands(part: Literal["train", "validation", "test"]) -> LabelledSet:
    """Return log-mel energies of spoken words, of shape (sample, 49, 40).

    The twelve classes are ten words, silence and other words. No speaker is in two parts: see
    `part_of`. Accuracies on these parts do not compare with published ones, whose networks were
    trained on 85,000 other clips. `mfcc` makes cepstral coefficients of the energies.

    Raises
    ------
    DataError
        If the files are nowhere and cannot be fetched.
    FileFormatError
        If a file is damaged or not the published one.
    MissingExtraError
        If librosa is not installed; it is not needed for the packed file.
    """
    check_part("speech_commands", part, _PARTS)
    packed = at_hand(_ARCHIVE.folder, _PACKED)
    if packed is not None and at_hand(_ARCHIVE.folder, _ARCHIVE.name) is None:
        x, y = _unpack(packed, part)
    else:
        x, y = _read_archive(obtain(_ARCHIVE), part)
    return LabelledSet(
        name=f"Speech Commands, {part}",
        x=x,
        y=y,
        classes=_CLASSES,
        note=f"{len(y):,} clips, {_NOTE}",
    )


def part_of(file: str) -> str:
    """Return the part that a clip belongs to.

    The SHA-1 of the speaker, or of the whole name of a clip without one, modulo 100: below 20
    it is "test", below 30 "validation", else "train".

    Parameters
    ----------
    file : str
        Folder and name of the clip: ``"yes/022cd682_nohash_0.wav"``, ``"_silence_/1024.wav"``.

    Examples
    --------
    >>> part_of("yes/022cd682_nohash_0.wav") == part_of("go/022cd682_nohash_0.wav")
    True
    """
    spoken = _SPOKEN.fullmatch(file.rpartition("/")[2])
    key = spoken[3] if spoken else file
    # A published division has to be reproduced: the digest guards nothing.
    number = int(hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest(), 16) % 100
    if number < _TEST:
        return "test"
    return "validation" if number < _TEST + _VALIDATION else "train"


def _read_archive(path: Path, part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    found = []
    with reading(path), tarfile.open(path, "r:gz") as archive:
        for member in archive:
            clip = _clip(member.name)
            if clip is None or part_of(clip[1]) != part:
                continue
            content = archive.extractfile(member)
            if content is not None:
                found.append((*clip, _samples(path, member.name, content.read())))
    if not found:
        raise FileFormatError(f"{path} is damaged: it has no clips for the part {part!r}.")
    # By class and name: the order of the packed file, whatever the order in the archive.
    found.sort(key=lambda clip: clip[:2])
    labels = np.array([label for label, _, _ in found], np.int64)
    return log_mel(np.stack([samples for _, _, samples in found])), labels


def _clip(member: str) -> tuple[int, str] | None:
    """Return class and name of a clip, its word as folder; None for anything else."""
    folder, name = ("", *Path(member).parts)[-2:]
    if folder == _SILENCE and name.endswith(".wav"):
        return _CLASSES.index(_SILENCE), f"{folder}/{name}"
    spoken = _SPOKEN.fullmatch(name)
    if not spoken:
        return None
    word = spoken[1] or folder
    return _CLASSES.index(word if word in _CLASSES else _UNKNOWN), f"{word}/{spoken[2]}"


def _samples(path: Path, member: str, content: bytes) -> NDArray[np.int16]:
    rate, samples = wavfile.read(io.BytesIO(content))
    if rate != SAMPLE_RATE or samples.dtype != np.int16 or samples.shape != (SAMPLE_RATE,):
        raise FileFormatError(
            f"{path} is damaged: {member} expects {SAMPLE_RATE} int16 samples at {SAMPLE_RATE} Hz, "
            f"got {samples.dtype} of shape {samples.shape} at {rate} Hz."
        )
    return np.asarray(samples)


def _unpack(path: Path, part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    with reading(path):
        arrays = read_arrays(path)
        split, logmel, labels = arrays["split"], arrays["logmel"], arrays["labels"]
        _check_shapes(path, split, logmel, labels)
        chosen = split == _PARTS.index(part)
        return logmel[chosen].astype(np.float32), labels[chosen].astype(np.int64)


def _check_shapes(path: Path, *arrays: NDArray[np.generic]) -> None:
    shapes: Sequence[tuple[int, ...]] = [array.shape for array in arrays]
    n = shapes[0][:1]
    if shapes != [n, (*n, N_FRAMES, N_BANDS), n]:
        raise FileFormatError(
            f"{path} is damaged: split, logmel and labels have the shapes "
            f"{', '.join(map(str, shapes))}."
        )
