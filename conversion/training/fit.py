"""fit: train a model in stages, resumable after every epoch, the same for the same seed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as functional
from torch import nn

from spikeram.conversion.training.noise import WEIGHTED, Noise, WeightNoise
from spikeram.errors import FileFormatError
from spikeram.files import replacing
from spikeram.seeds import Purpose, key

Augment: TypeAlias = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some epochs with one cycle of the learning rate and one noise on the weights.

    Parameters
    ----------
    epochs : int
        Passes through the samples.
    rate : float
        Largest learning rate of the cycle (OneCycle; Smith and Topin, arXiv:1708.07120).
    noise : float or callable
        Noise on the weights, as `WeightNoise` takes it.
    clip : float, optional
        Weights are kept within this many standard deviations of their layer, after every step
        (Joshi et al., Nature Communications 11, 2473, 2020): few large weights do not set the
        scale of the conductances, and with it the noise, of all others.
    running_norms : bool
        Batch normalisation by its running statistics, which stay: as when the model is used, it
        cannot take out what the noise adds to a channel.
    """

    epochs: int
    rate: float
    noise: Noise = 0.0
    clip: float | None = None
    running_norms: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1 or not self.rate > 0:
            raise ValueError(
                f"Stage expects epochs >= 1 and a rate > 0, got {self.epochs} and {self.rate}."
            )
        if self.clip is not None and not self.clip > 1:
            raise ValueError(
                f"Stage expects a clip > 1 standard deviations, or None, got {self.clip}."
            )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained.

    Parameters
    ----------
    stages : tuple of Stage
        One after the other.
    batch : int
        Samples of one step of the optimiser.
    optimiser : {"adam", "sgd"}
        AdamW, or gradient descent with Nesterov momentum of 0.9.
    decay : float
        Weight decay; thresholds and biases take none.
    smoothing : float
        Label smoothing.
    rise : float
        Share of a stage in which the learning rate rises.
    """

    stages: tuple[Stage, ...]
    batch: int = 128
    optimiser: Literal["adam", "sgd"] = "adam"
    decay: float = 0.0
    smoothing: float = 0.0
    rise: float = 0.25

    @property
    def epochs(self) -> int:
        """Epochs of all stages."""
        return sum(stage.epochs for stage in self.stages)

    def described(self) -> dict[str, Any]:
        """Return the recipe as plain values, for what is kept beside weights."""
        plain = asdict(self)
        for stage in plain["stages"]:
            if callable(stage["noise"]):
                stage["noise"] = type(stage["noise"]).__name__
        plain["stages"] = list(plain["stages"])
        return plain


def fit(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    recipe: Recipe,
    *,
    seed: int,
    augment: Augment | None = None,
    loss: Loss | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    compiled: bool = False,
    frozen: Sequence[nn.Module] = (),
    before_batch: Callable[[torch.Tensor], None] | None = None,
    after_stage: Callable[[int], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> nn.Module:
    """Return the model, trained in place.

    Every epoch draws from a generator of its own, so that a run that was interrupted and goes on
    from its checkpoint ends where an unbroken one does, on as many threads of one processor.

    Parameters
    ----------
    model : torch.nn.Module
        What to train; left in evaluation mode.
    x : torch.Tensor of shape (sample, ...)
        Samples.
    y : torch.Tensor of shape (sample, ...)
        Labels, or whatever `loss` compares with.
    recipe : Recipe
        How.
    seed : int
        Where order, augmentation and noise are drawn from.
    augment : callable, optional
        Returns a batch changed at random, given the batch and a generator.
    loss : callable, optional
        By default the cross entropy.
    checkpoint : path-like, optional
        Written after every epoch, and gone on with where it exists.
    compiled : bool
        Whether ``torch.compile`` makes it faster first, which needs a C++ compiler; results then
        differ by rounding.
    frozen : sequence of torch.nn.Module
        Stay in evaluation: their running statistics do not move.
    before_batch : callable, optional
        Called with the numbers of the samples of each batch.
    after_stage : callable, optional
        Called with the number of each stage that ended.
    progress : callable, optional
        Called with (batches done, batches in all).

    Raises
    ------
    FileFormatError
        If the checkpoint is damaged, or of another model, recipe or seed.
    """
    if len(x) != len(y) or len(x) < recipe.batch:
        raise ValueError(
            f"fit expects as many labels as samples, and a batch of {recipe.batch} at least; got "
            f"{len(x)} samples and {len(y)} labels."
        )
    if loss is None:

        def loss(out: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            """Return the cross entropy, with the recipe's smoothing."""
            return functional.cross_entropy(out, wanted, label_smoothing=recipe.smoothing)

    rounds = len(x) // recipe.batch
    total, done = recipe.epochs * rounds, 0
    path = None if checkpoint is None else Path(checkpoint)
    identity = {"recipe": recipe.described(), "seed": seed, "samples": len(x)}
    state = _loaded(path, model, identity)
    if x.dim() == 4:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward = torch.compile(model) if compiled else model
    for number, stage in enumerate(recipe.stages):
        if state is not None and state["stage"] > number:
            done += stage.epochs * rounds
            continue
        optimiser = _optimiser(model, recipe, stage)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            stage.rate,
            total_steps=stage.epochs * rounds,
            pct_start=recipe.rise,
            cycle_momentum=False,
        )
        first = 0
        if state is not None and state["epoch"]:
            optimiser.load_state_dict(state["optimiser"])
            schedule.load_state_dict(state["schedule"])
            first = state["epoch"]
            done += first * rounds
        state = None
        for epoch in range(first, stage.epochs):
            generator = torch.Generator().manual_seed(
                int(key(seed, Purpose.TRAINING, number, epoch)) % 2**63
            )
            model.train()
            for module in [*frozen, *(_norms(model) if stage.running_norms else ())]:
                module.eval()
            for batch in _batches(len(x), recipe.batch, generator):
                if before_batch is not None:
                    before_batch(batch)
                some = x[batch] if augment is None else augment(x[batch], generator)
                if some.dim() == 4:
                    some = some.to(memory_format=torch.channels_last)
                optimiser.zero_grad()
                with WeightNoise(model, stage.noise, generator):
                    loss(forward(some), y[batch]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                if stage.clip is not None:
                    _clip(model, stage.clip)
                schedule.step()
                done += 1
                if progress is not None:
                    progress(done, total)
            last = epoch + 1 == stage.epochs
            if last:
                model.eval()
                # Before the checkpoint says that the stage is done: what this writes is not lost.
                if after_stage is not None:
                    after_stage(number)
            if path is not None:
                _save(
                    path,
                    {
                        **identity,
                        "model": model.state_dict(),
                        "optimiser": optimiser.state_dict(),
                        "schedule": schedule.state_dict(),
                        "stage": number + last,
                        "epoch": 0 if last else epoch + 1,
                    },
                )
    return model.eval()


def accuracy(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    *,
    noise: Noise = 0.0,
    draws: int = 1,
    seed: int = 0,
    batch: int = 500,
) -> list[float]:
    """Return the share of samples that are classified right, for each draw of the noise.

    Parameters
    ----------
    model : torch.nn.Module
        The model; put into evaluation mode.
    x, y : torch.Tensor of shape (sample, ...) and (sample,)
        Samples and labels.
    noise : float or callable
        Noise on the weights, as `WeightNoise` takes it.
    draws : int
        How often it is drawn.
    seed : int
        Where from.
    batch : int
        Samples at a time.

    Returns
    -------
    list of float
        As long as `draws`.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    found = []
    with torch.no_grad():
        for _ in range(draws):
            with WeightNoise(model, noise, generator):
                right = [
                    (model(x[n : n + batch]).argmax(1) == y[n : n + batch]).sum()
                    for n in range(0, len(x), batch)
                ]
            found.append(int(sum(right)) / len(x))
    return found


def _batches(n: int, size: int, generator: torch.Generator) -> Sequence[torch.Tensor]:
    """Return the samples of each batch of one epoch; a rest is left to other epochs."""
    return torch.randperm(n, generator=generator)[: n // size * size].split(size)  # type: ignore[no-any-return,no-untyped-call]


def _norms(model: nn.Module) -> list[nn.Module]:
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d)
    return [module for module in model.modules() if isinstance(module, kinds)]


def _clip(model: nn.Module, deviations: float) -> None:
    """Keep the weights of each layer within so many standard deviations."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, WEIGHTED):
                bound = deviations * layer.weight.std()
                layer.weight.clamp_(-bound, bound)


def _optimiser(model: nn.Module, recipe: Recipe, stage: Stage) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.decay},
        {"params": others, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimiser == "adam":
        return torch.optim.AdamW(groups, lr=stage.rate)
    return torch.optim.SGD(groups, lr=stage.rate, momentum=0.9, nesterov=True)


def _save(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as scratch:
        torch.save(content, scratch)


def _loaded(path: Path | None, model: nn.Module, identity: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a checkpoint holds, its weights put into the model."""
    if path is None or not path.exists():
        return None
    remedy = "Remove it to begin anew, or give another name."
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
        held = {name: state[name] for name in identity}
        weights = state["model"]
    except Exception as error:
        # torch raises many kinds on damaged bytes.
        raise FileFormatError(
            f"{path} is not a readable checkpoint: {type(error).__name__}. {remedy}"
        ) from None
    for name, wanted in identity.items():
        if held[name] != wanted:
            raise FileFormatError(
                f"{path} is a checkpoint of another run: {name} is {held[name]}, expected "
                f"{wanted}. {remedy}"
            )
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise FileFormatError(
            f"{path} is a checkpoint of another architecture: {reason} {remedy}"
        ) from None
    return state
