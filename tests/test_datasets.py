from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import struct
import sys
import tarfile
import types
import wave
import zipfile

import numpy as np
import pytest
from scipy.fft import idct

from spikeram import datasets
from spikeram.datasets import cifar, idx as idx_files, mnist_events, speech
from spikeram.errors import DataError, FileFormatError, MissingExtraError


class Fetched(list):
    """What was asked for; `content` holds what there is to be fetched."""

    def __init__(self):
        super().__init__()
        self.content = {}

    def retrieve(self, url, known_hash, fname, path, downloader):
        self.append((url, known_hash, fname, path))
        if fname not in self.content:
            raise ConnectionError("no route to host.")
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(self.content[fname])
        return str(path / fname)


@pytest.fixture(autouse=True)
def fetched(monkeypatch, tmp_path):
    """No test fetches anything, and none needs pooch."""
    try:
        import pooch
    except ImportError:
        pooch = types.SimpleNamespace(HTTPDownloader=dict)
        monkeypatch.setitem(sys.modules, "pooch", pooch)
    calls = Fetched()
    cache = tmp_path / "cache"
    monkeypatch.setattr(pooch, "retrieve", calls.retrieve, raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: cache / name, raising=False)
    return calls


@pytest.fixture
def folder(monkeypatch, tmp_path):
    root = tmp_path / "sets"
    root.mkdir()
    monkeypatch.setenv("SPIKERAM_DATA", str(root))
    return root


def md5(content):
    return hashlib.md5(content).hexdigest()


def put(root, name, content):
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def idx(array):
    header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


def few_digits(n=5):
    pixels = np.random.default_rng(0).integers(0, 256, (n, 28, 28), np.uint8)
    return pixels, np.arange(n, dtype=np.uint8)


def publish_digits(monkeypatch, root, *, images, labels):
    """Put two files there and make them the published ones."""
    for stem, content in (("t10k-images-idx3", images), ("t10k-labels-idx1", labels)):
        put(root, f"mnist/{stem}-ubyte.gz", content)
        monkeypatch.setitem(idx_files._MNIST_MD5, stem, md5(content))


def tar(members):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def publish(monkeypatch, module, root, content):
    """Put an archive there and make it the published one."""
    archive = module._ARCHIVE
    algorithm = archive.checksum.partition(":")[0]
    digest = hashlib.new(algorithm, content).hexdigest()
    file = dataclasses.replace(archive, checksum=f"{algorithm}:{digest}")
    monkeypatch.setattr(module, "_ARCHIVE", file)
    return put(root, f"{archive.folder}/{archive.name}", content)


def wav(samples, rate=16_000):
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setparams((1, 2, rate, len(samples), "NONE", None))
        file.writeframes(samples.astype("<i2").tobytes())
    return written.getvalue()


# Where files come from


def test_digits_are_read_as_their_files_hold_them(monkeypatch, folder, fetched):
    pixels, labels = few_digits()
    publish_digits(monkeypatch, folder, images=idx(pixels), labels=idx(labels))
    found = datasets.mnist("test")
    assert found.x.dtype == np.float32
    np.testing.assert_array_equal(found.x[:, 0] * np.float32(255), pixels)
    np.testing.assert_array_equal(found.y, labels)
    assert (found.name, found.note, len(found)) == ("MNIST, test", "", 5)
    assert fetched == []


def test_a_file_that_is_not_the_published_one_is_refused(folder):
    pixels, _ = few_digits()
    content = idx(pixels)
    path = put(folder, "mnist/t10k-images-idx3-ubyte.gz", content)
    published = "9fb629c4189551a2d022fa330f9573f3"
    with pytest.raises(FileFormatError, match=f"{path} .* md5 {published}, got {md5(content)}"):
        datasets.mnist("test")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-20], "t10k-images.* is damaged: Compressed file ended"),
        (lambda content: gzip.compress(b"\0\0"), "t10k-images.* is damaged: unpack"),
        (
            lambda content: gzip.compress(gzip.decompress(content)[:-1]),
            "expects the magic number 2051 .* got 2051, axes .5, 28, 28. and 3919 bytes",
        ),
        (lambda content: idx(few_digits(20)[1]), "expects the magic number 2051 .* got 2049"),
    ],
)
def test_damaged_images_are_refused(monkeypatch, folder, damage, message):
    pixels, labels = few_digits()
    publish_digits(monkeypatch, folder, images=damage(idx(pixels)), labels=idx(labels))
    with pytest.raises(FileFormatError, match=message):
        datasets.mnist("test")


def test_labels_that_do_not_fit_are_refused(monkeypatch, folder):
    pixels, labels = few_digits()
    publish_digits(monkeypatch, folder, images=idx(pixels), labels=idx(labels[:4]))
    with pytest.raises(ValueError, match="one class for each of its 5 samples"):
        datasets.mnist("test")
    publish_digits(monkeypatch, folder, images=idx(pixels), labels=idx(labels + 6))
    with pytest.raises(ValueError, match="labels from 0 to 9, one for each .* got 6 to 10"):
        datasets.mnist("test")


def test_what_is_not_at_hand_is_fetched_with_its_checksum(monkeypatch, folder, fetched, tmp_path):
    pixels, labels = few_digits()
    fetched.content = {
        "train-images-idx3-ubyte.gz": idx(pixels),
        "train-labels-idx1-ubyte.gz": idx(labels),
    }
    found = datasets.fashion_mnist("train")
    assert found.classes[9] == "Ankle boot"
    np.testing.assert_array_equal(found.y, labels)
    cache = tmp_path / "cache" / "spikeram" / "fashion_mnist"
    home = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    assert fetched == [
        (f"{home}{name}", f"md5:{digest}", name, cache)
        for name, digest in (
            ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        )
    ]


@pytest.mark.parametrize(
    ("load", "name"),
    [
        (lambda: datasets.mnist("train"), "mnist/train-images-idx3-ubyte.gz"),
        (lambda: datasets.cifar10("test"), "cifar10/cifar-10-binary.tar.gz"),
        (
            lambda: datasets.speech_commands("train"),
            "speech_commands/speech_commands_test_set_v0.02.tar.gz",
        ),
        (lambda: datasets.n_mnist("test"), "n_mnist/Test.zip"),
    ],
)
def test_offline_it_says_where_it_looked_and_what_to_do(folder, load, name, tmp_path):
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    inside = name.split("/")[0]
    for part in (
        f"is not in {folder / inside} or {tmp_path / 'cache' / 'spikeram' / inside}.",
        "failed: no route to host.",
        f"Set SPIKERAM_DATA to a folder that holds {name}, or try again",
    ):
        assert part in message


def test_without_pooch_it_says_what_to_install(monkeypatch):
    monkeypatch.delenv("SPIKERAM_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    message = "SPIKERAM_DATA is not set.* needs pooch, .* pip install 'spikeram\\[data\\]'"
    with pytest.raises(DataError, match=message):
        datasets.mnist("train")


def test_a_data_folder_that_is_none_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKERAM_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="SPIKERAM_DATA names .*nowhere, which is not a folder"):
        datasets.mnist("train")


@pytest.mark.parametrize(
    "name", ["mnist", "fashion_mnist", "cifar10", "speech_commands", "n_mnist"]
)
def test_a_part_that_there_is_not_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} expects a part out of train, .*got 't10k'"):
        getattr(datasets, name)("t10k")


# CIFAR-10


def cifar_batches():
    rng = np.random.default_rng(1)
    return {
        f"cifar-10-batches-bin/{name}": np.column_stack(
            [rng.integers(0, 10, 2), rng.integers(0, 256, (2, 3072))]
        ).astype(np.uint8)
        for name in ("test_batch.bin", *(f"data_batch_{n}.bin" for n in (5, 3, 1, 2, 4)))
    }


def test_the_binary_archive_is_read_in_the_order_of_its_batches(monkeypatch, folder):
    batches = cifar_batches()
    members = {name: batch.tobytes() for name, batch in batches.items()}
    outside = {"../data_batch_1.bin": b"not this one", "cifar-10-batches-bin/readme.html": b""}
    publish(monkeypatch, cifar, folder, tar({**outside, **members}))
    found = datasets.cifar10("train")
    records = np.concatenate(
        [batches[f"cifar-10-batches-bin/data_batch_{n}.bin"] for n in range(1, 6)]
    )
    np.testing.assert_array_equal(found.y, records[:, 0])
    red, green, blue = np.split(records[:, 1:], 3, axis=1)
    pixels = np.stack([red, green, blue], axis=1).reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(np.rint(found.x * 255), pixels)
    assert found.note == ""


def test_an_archive_without_a_batch_or_with_half_of_one_is_refused(monkeypatch, folder):
    members = {name: batch.tobytes() for name, batch in cifar_batches().items()}
    half = {"cifar-10-batches-bin/test_batch.bin": members.popitem()[1][:-1]}
    publish(monkeypatch, cifar, folder, tar(half))
    with pytest.raises(FileFormatError, match="cifar-10-binary.tar.gz is damaged: cannot reshape"):
        datasets.cifar10("test")
    with pytest.raises(FileFormatError, match="it has no cifar-10-batches-bin/data_batch_1.bin"):
        datasets.cifar10("train")


def test_packed_differences_become_the_images(folder):
    images = np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3), np.uint8)
    red, green, blue = np.moveaxis(images, -1, 0)
    planes = np.stack([green, red - green, blue - green], axis=1)
    delta = np.diff(planes, axis=2, prepend=np.zeros((3, 3, 1, 32), np.uint8))
    (folder / "cifar10").mkdir()
    path = folder / "cifar10" / "cifar10_train20k.npz"
    np.savez(path, delta=delta, labels=np.array([0, 4, 9], np.uint8))
    found = datasets.cifar10("train")
    np.testing.assert_array_equal(np.rint(found.x * 255), images.transpose(0, 3, 1, 2))
    assert found.note.startswith("the first 20,000 of the 50,000 training images")


def test_a_damaged_packed_file_is_refused(folder):
    path = put(folder, "cifar10/cifar10_test.npz", b"PK\x03\x04 and nothing else")
    with pytest.raises(FileFormatError, match=f"{path} is not a readable .npz"):
        datasets.cifar10("test")
    np.savez(path, images=np.zeros((1, 32, 32, 3), np.uint8))
    with pytest.raises(FileFormatError, match=f"{path} is damaged: 'labels'"):
        datasets.cifar10("test")


# Speech


def test_a_tone_lies_in_the_band_of_its_pitch():
    pytest.importorskip("librosa")
    t = np.arange(16_000) / 16_000
    # HTK's mel scale; a triangle is highest at its middle point.
    mel = 2595 * np.log10(1 + np.array([20.0, 8000.0]) / 700)
    centre = 700 * (10 ** (np.linspace(*mel, 42)[1:-1] / 2595) - 1)
    tones = np.sin(2 * np.pi * centre[10:40:7, np.newaxis] * t)
    found = datasets.log_mel(tones)
    assert found.shape == (5, 49, 40)
    np.testing.assert_array_equal(
        found.argmax(axis=2), np.arange(10, 40, 7)[:, None] + np.zeros(49)
    )


def test_log_mel_is_its_formula():
    pytest.importorskip("librosa")
    clip = np.random.default_rng(3).integers(-3000, 3000, 16_000).astype(np.int16)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(640) / 640)
    frames = np.stack([clip[320 * k : 320 * k + 640] / 32768 * window for k in range(49)])
    power = np.abs(np.fft.rfft(frames, 1024)) ** 2
    mel = 2595 * np.log10(1 + np.array([20.0, 8000.0]) / 700)
    edges = 700 * (10 ** (np.linspace(*mel, 42) / 2595) - 1)
    f = np.fft.rfftfreq(1024, 1 / 16_000)
    bands = [np.interp(f, edges[m : m + 3], [0, 1, 0]) for m in range(40)]
    expected = np.log(power @ np.transpose(bands) + 1e-6)
    # librosa works in single precision.
    np.testing.assert_allclose(datasets.log_mel(clip[np.newaxis])[0], expected, atol=1e-4)


def test_log_mel_refuses_clips_of_another_length_and_type():
    for clips in (np.zeros((1, 8000)), np.zeros(16_000), np.zeros((1, 16_000), np.int32)):
        with pytest.raises(ValueError, match="expects int16 or floats of shape .clip, 16000."):
            datasets.log_mel(clips)


def test_log_mel_without_librosa_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "librosa", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'spikeram\[speech\]'"):
        datasets.log_mel(np.zeros((1, 16_000)))


def test_cepstral_coefficients_lead_back_to_the_energies():
    logmel = np.random.default_rng(4).normal(size=(2, 49, 40))
    back = idct(datasets.mfcc(logmel), type=2, norm="ortho", axis=-1)
    np.testing.assert_allclose(back, logmel, atol=1e-12)
    # The first is the sum over sqrt(40): the transform is orthonormal.
    first = datasets.mfcc(logmel, n=1)
    np.testing.assert_allclose(first[..., 0], logmel.sum(axis=-1) / np.sqrt(40), atol=1e-12)
    with pytest.raises(ValueError, match="n from 1 to the 40 bands, got 41"):
        datasets.mfcc(logmel, n=41)


def test_the_speech_archive_is_divided_by_speaker_and_ordered_by_class(monkeypatch, folder):
    pytest.importorskip("librosa")
    speakers = [f"{n:08x}" for n in range(40)]
    names = {f"yes/{speaker}_nohash_{n}.wav": (0, speaker) for speaker in speakers for n in (1, 0)}
    names |= {f"_unknown_/bird_{speaker}_nohash_0.wav.wav": (11, speaker) for speaker in speakers}
    names |= {f"_silence_/{n}.wav": (10, f"_silence_/{n}.wav") for n in range(12)}
    tones = {}
    for n, name in enumerate(sorted(names)):
        tones[name] = np.round(3000 * np.sin(np.arange(16_000) * (n + 5) / 200)).astype(np.int16)
    members = {f"./{name}": wav(tones[name]) for name in reversed(names)}
    publish(monkeypatch, speech, folder, tar({"./LICENSE": b"CC BY", **members}))

    def number(key):
        return int.from_bytes(hashlib.sha1(key.encode()).digest()) % 100

    found = datasets.speech_commands("validation")
    expected = sorted((names[n][0], n) for n in names if 20 <= number(names[n][1]) < 30)
    assert {label for label, _ in expected} == {0, 10, 11}
    np.testing.assert_array_equal(found.y, [label for label, _ in expected])
    audio = np.stack([tones[name] for _, name in expected])
    np.testing.assert_array_equal(found.x, datasets.log_mel(audio))
    assert found.note.startswith(f"{len(expected)} clips, divided by speaker")


def test_a_clip_that_is_not_a_second_at_16_khz_is_refused(monkeypatch, folder):
    names = (f"go/{n:08x}_nohash_0.wav" for n in range(100))
    name = next(name for name in names if speech.part_of(name) == "test")
    path = publish(monkeypatch, speech, folder, tar({name: wav(np.zeros(8000), 8000)}))
    with pytest.raises(FileFormatError, match=f"{path} is damaged: {name} expects 16000 int16"):
        datasets.speech_commands("test")
    publish(monkeypatch, speech, folder, tar({name: b"RIFF"}))
    with pytest.raises(FileFormatError, match=f"{path} is damaged"):
        datasets.speech_commands("test")
    with pytest.raises(FileFormatError, match="it has no clips for the part 'train'"):
        datasets.speech_commands("train")


# N-MNIST


def five_bytes(x, y, p, t):
    return b"".join(
        bytes([a, b]) + (polarity << 23 | time).to_bytes(3)
        for a, b, polarity, time in zip(x, y, p, t)
    )


RECORDINGS = (
    (7, ([0, 33], [5, 6], [1, 0], [3, 8_000_000])),
    (2, ([], [], [], [])),
    (0, ([1, 2, 3], [4, 5, 6], [0, 1, 1], [0, 70_000, 70_000])),
)


def check_recordings(found):
    np.testing.assert_array_equal(found.labels, [label for label, _ in RECORDINGS])
    np.testing.assert_array_equal(found.offsets, [0, 2, 2, 5])
    for s, (_, events) in enumerate(RECORDINGS):
        a, b = found.offsets[s : s + 2]
        for axis, expected in zip("xypt", events):
            np.testing.assert_array_equal(getattr(found, axis)[a:b], expected)


def recordings_zip(monkeypatch, root, members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    file = mnist_events._ARCHIVES["train"]
    file = dataclasses.replace(file, checksum=f"md5:{md5(packed.getvalue())}")
    monkeypatch.setitem(mnist_events._ARCHIVES, "train", file)
    return put(root, "n_mnist/Train.zip", packed.getvalue())


def test_recordings_are_read_in_the_order_of_mnist(monkeypatch, folder):
    members = {
        f"Train/{label}/{s:05}.bin": five_bytes(*events)
        for s, (label, events) in enumerate(RECORDINGS, 1)
    }
    members["__MACOSX/Train/7/._00001.bin"] = b"not a recording"
    recordings_zip(monkeypatch, folder, dict(reversed(members.items())))
    found = datasets.n_mnist("train")
    check_recordings(found)
    assert (found.name, found.note) == ("N-MNIST, train", "")


def test_damaged_recordings_are_refused(monkeypatch, folder):
    path = recordings_zip(monkeypatch, folder, {"Train/7/00001.bin": b"\0" * 7})
    with pytest.raises(FileFormatError, match=f"{path} is damaged: cannot reshape"):
        datasets.n_mnist("train")
    recordings_zip(monkeypatch, folder, {"Train/7/00001.bin": b"\x22" + b"\0" * 4})
    with pytest.raises(FileFormatError, match="there is an event at pixel 34"):
        datasets.n_mnist("train")
    recordings_zip(monkeypatch, folder, {"readme": b""})
    with pytest.raises(FileFormatError, match="it has no recordings"):
        datasets.n_mnist("train")


def test_packed_recordings_are_the_same(folder):
    x, y, p, _ = (np.concatenate([events[k] for _, events in RECORDINGS]) for k in range(4))
    dt = np.concatenate([np.diff(events[3], prepend=0) for _, events in RECORDINGS])
    columns = {name: column.astype(np.uint8) for name, column in {"x": x, "y": y, "p": p}.items()}
    (folder / "n_mnist").mkdir()
    np.savez(
        folder / "n_mnist" / "n_mnist_1000train_100test.npz",
        **columns,
        dt=dt.astype(np.int32),
        offsets=np.array([0, 2, 2, 5]),
        labels=np.array([7, 2, 0], np.uint8),
        split=np.zeros(3, np.uint8),
    )
    found = datasets.n_mnist("train")
    check_recordings(found)
    assert found.note == "the first 1,000 of the 60,000 training samples"
    with pytest.raises(FileFormatError, match="is damaged"):
        datasets.n_mnist("test")


# The sets themselves


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


def needs(path):
    if not path.exists():
        pytest.skip(f"there is no {path}")


def member(path, name):
    """Return one array, and read no other."""
    needs(path)
    with np.load(path) as file:
        return file[name]


def test_the_published_digits(measured_data):
    needs(measured_data / "mnist" / "t10k-images-idx3-ubyte.gz")
    found = datasets.mnist("test")
    assert found.x.shape == (10_000, 1, 28, 28)
    # The header, then the bytes: the MD5 of the unpacked file.
    pixels = np.rint(found.x * 255).astype(np.uint8)
    content = struct.pack(">4I", 2051, 10_000, 28, 28) + pixels.tobytes()
    assert md5(content) == "2646ac647ad5339dbf082846283269ea"
    labels = struct.pack(">2I", 2049, 10_000) + found.y.astype(np.uint8).tobytes()
    assert md5(labels) == "27ae3e4e09519cfbb04c329615203637"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "name", "n", "digest"),
    [
        (
            "train",
            "cifar10_train20k.npz",
            20_000,
            "7a6fe57a08a1112b7868ac003cf7a7ca47b44eafb072e0f426965537012f514e",
        ),
        (
            "test",
            "cifar10_test.npz",
            10_000,
            "25a508aee148b4ccf689df271258bb61c79db1edd6c7bdc2d32e0f748c0bf68c",
        ),
    ],
)
def test_the_packed_colour_images(measured_data, part, name, n, digest):
    needs(measured_data / "cifar10" / name)
    found = datasets.cifar10(part)
    assert found.x.shape == (n, 3, 32, 32)
    pixels = np.rint(found.x * 255).astype(np.uint8)
    assert sha256(pixels.transpose(0, 2, 3, 1)) == digest
    first = {
        "train": (1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981),
        "test": (1000,) * 10,
    }
    np.testing.assert_array_equal(np.bincount(found.y[:10_000]), first[part])


@pytest.fixture(scope="module")
def words(measured_data):
    path = measured_data / "speech_commands" / "gsc_v002_testset_logmel40.npz"
    return {name: member(path, name) for name in ("logmel", "labels", "file", "split")}


def test_the_packed_words(measured_data, words):
    digest = "790bc87afa554c86922e5e1d8e507da11d1da605b36a6a3b5ebd90de7cef6c64"
    assert sha256(words["logmel"]) == digest
    found = datasets.speech_commands("test")
    assert found.x.shape == (945, 49, 40)
    np.testing.assert_array_equal(found.x, words["logmel"][words["split"] == 2])
    np.testing.assert_array_equal(found.y, words["labels"][words["split"] == 2])


def test_the_division_by_speaker_is_that_of_the_packed_words(words):
    parts = [("train", "validation", "test")[split] for split in words["split"]]
    assert [speech.part_of(str(file)) for file in words["file"]] == parts


def test_archive_names_give_the_classes_and_order_of_the_packed_words(words):
    unknown = words["labels"] == 11
    in_archive = [
        f"_unknown_/{file.replace('/', '_')}.wav" if other else file
        for file, other in zip(words["file"], unknown)
    ]
    clips = [speech._clip(str(name)) for name in in_archive]
    assert clips == sorted(zip(words["labels"].tolist(), words["file"].tolist()))


def test_log_mel_of_the_audio_is_what_the_packed_words_hold(measured_data, words):
    pytest.importorskip("librosa")
    path = measured_data / "speech_commands" / "gsc_v002_testset_raw1200.npz"
    audio, index = member(path, "audio"), member(path, "index")
    digest = "5e9f00df4ef89c2dad7c30df9338de87640a197623aa04e91751a25c13420ebb"
    assert sha256(audio) == digest
    packed = words["logmel"][index[::12]]
    # Half a unit in the last place of the stored half-precision numbers, and rounding before.
    allowed = np.spacing(np.abs(packed)).astype(np.float64) / 2 + 2e-6
    assert np.all(np.abs(datasets.log_mel(audio[::12]) - packed.astype(np.float64)) <= allowed)


def test_the_packed_recordings(measured_data):
    needs(measured_data / "n_mnist" / "n_mnist_1000train_100test.npz")
    digest = hashlib.sha256()
    for part, n in (("train", 1000), ("test", 100)):
        found = datasets.n_mnist(part)
        assert len(found) == n
        high = found.p.astype(np.int64) << 7 | found.t >> 16
        records = [found.x, found.y, high, found.t >> 8 & 0xFF, found.t & 0xFF]
        digest.update(np.stack(records, axis=1).astype(np.uint8).tobytes())
    # Of the records in the archive's five bytes, one after the other.
    expected = "da89e2d157aab1e4548dcdeee54dd73ad3025c80eba14a782ee8df12bf8d2bfe"
    assert digest.hexdigest() == expected
