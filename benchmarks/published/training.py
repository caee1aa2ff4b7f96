"""Recipes that train the published architectures, each once; weights are kept in a cache folder.

The weights of their authors are not used: what is converted is the architecture. Needs
$SPIKERAM_DATA with mnist/ and speech_commands/. The recipe of the DS-CNN resumes after the last
finished epoch; the others take a minute or two.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as functional
from mnist_training import CACHE, images, labels
from numpy.typing import NDArray
from rich.progress import track
from scipy.fft import dct
from torch import nn

from published import ds_cnn, mnist_8, red_net

NOISE = 0.25
"""Standard deviation of the noise that the autoencoder takes away, with pixels in [0, 1]."""

FEATURES = 16
"""Feature maps of the autoencoder; the paper has 64."""

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Parts of the speech commands, as its README numbers them."""

BATCH = 100
"""Clips in a batch."""

_LARGEST = 4.0


def trained_mnist_8(epochs: int = 3) -> Any:
    """Return the ONNX model of `published.mnist_8` with trained weights."""
    net = mnist_8.trainable()
    x, y = images("train"), labels("train").astype(np.int64)
    _kept(net, CACHE / f"mnist_8_e{epochs}.pt", x, y, functional.cross_entropy, epochs)
    return mnist_8.mnist_8(mnist_8.parameters_of(net))


def trained_red_net(epochs: int = 2) -> Any:
    """Return the trained autoencoder, which takes the noise of `noisy` away."""
    net = red_net.REDNet(features=FEATURES)
    clean = images("train")[:20_000]
    path = CACHE / f"red20_f{FEATURES}_e{epochs}.pt"
    _kept(net, path, noisy(clean, seed=0), clean, functional.mse_loss, epochs)
    return net


def noisy(clean: NDArray[np.float64], *, seed: int) -> NDArray[np.float64]:
    """Return images with normal noise, clipped to [0, 1]."""
    rng = np.random.default_rng(seed)
    return np.clip(clean + rng.normal(0, NOISE, clean.shape), 0, 1)


def _kept(
    net: nn.Module,
    path: Path,
    x: NDArray[Any],
    y: NDArray[Any],
    loss: Callable[..., torch.Tensor],
    epochs: int,
) -> None:
    """Load the weights of a network, after training it where there are none."""
    if not path.exists():
        torch.manual_seed(0)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                module.reset_parameters()
        inputs = torch.tensor(x, dtype=torch.float32)
        wanted = torch.tensor(y, dtype=torch.float32 if y.dtype.kind == "f" else torch.int64)
        _train(net, inputs, wanted, loss, epochs)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(net.state_dict(), path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    net.load_state_dict(torch.load(path, weights_only=True))
    net.eval()


def _train(
    net: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    loss: Callable[..., torch.Tensor],
    epochs: int,
) -> None:
    rounds = epochs * (len(x) // 128)
    optimiser = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=rounds)
    net.train()
    for epoch in range(epochs):
        order = torch.randperm(len(x))[: len(x) // 128 * 128]
        for start in track(range(0, len(order), 128), f"Epoch {epoch + 1} of {epochs}"):
            batch = order[start : start + 128]
            optimiser.zero_grad()
            loss(net(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def words(part: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return MFCCs of shape (clip, frame, coefficient, 1) and labels of a part of the words.

    The first ten coefficients of the DCT-II of log-mel energies, each standardised by mean and
    standard deviation of the part `TRAIN`, and limited to 4 standard deviations.
    """
    path = Path(os.environ.get("SPIKERAM_DATA", "")) / "speech_commands"
    path /= "gsc_v002_testset_logmel40.npz"
    if not path.exists():
        raise click.ClickException("Set SPIKERAM_DATA to a folder that holds speech_commands/.")
    with np.load(path) as file:
        split, y = file["split"], file["labels"].astype(np.int64)
        mfcc = dct(file["logmel"].astype(np.float64), axis=-1, norm="ortho")[..., :10]
    known = mfcc[split == TRAIN]
    x = (mfcc - known.mean(axis=(0, 1))) / known.std(axis=(0, 1))
    limited = np.clip(x, -_LARGEST, _LARGEST)[..., np.newaxis].astype(np.float32)
    return limited[split == part], y[split == part]


def trained_ds_cnn(epochs: int = 30) -> Path:
    """Return the file of the trained DS-CNN, in the format of Keras; set KERAS_BACKEND=torch.

    Adam with a cosine schedule; in every epoch each clip is shifted by up to five frames.
    """
    import keras

    path = CACHE / f"ds_cnn_e{epochs}.keras"
    if path.exists():
        return path
    x, y = words(TRAIN)
    rounds = -(-len(x) // BATCH)
    unfinished = path.with_suffix(".resume.keras")
    CACHE.mkdir(parents=True, exist_ok=True)
    if unfinished.exists():
        model = keras.saving.load_model(unfinished)
    else:
        keras.utils.set_random_seed(0)
        model = ds_cnn.ds_cnn()
        rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * rounds)
        model.compile(
            keras.optimizers.Adam(rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
    for epoch in range(int(model.optimizer.iterations) // rounds, epochs):
        keras.utils.set_random_seed(epoch)
        model.fit(
            shifted(x, seed=epoch), y, batch_size=BATCH, initial_epoch=epoch, epochs=epoch + 1,
            verbose=2,
        )  # fmt: skip
        part = path.with_suffix(".part.keras")
        model.save(part)
        part.replace(unfinished)
    unfinished.replace(path)
    return path


def shifted(x: NDArray[np.float32], *, seed: int) -> NDArray[np.float32]:
    """Return clips (clip, frame, ...), each shifted by -5 to 5 frames, its edge repeated."""
    shift = np.random.default_rng(seed).integers(-5, 6, (len(x), 1))
    frame = np.clip(np.arange(x.shape[1]) - shift, 0, x.shape[1] - 1)
    moved: NDArray[np.float32] = x[np.arange(len(x))[:, np.newaxis], frame]
    return moved
