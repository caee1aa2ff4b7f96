r"""The network of four parallel LSTM cells for keywords that ran on the chip.

Each cell of 112 units sees all inputs and has its own dense layer; what these give is averaged
(Wan et al., Nature 608, 504, 2022, and github.com/weierwan/Neurram_48core). Gates are rounded while
the network is trained as `spikeram.recurrent` rounds them, straight-through: inputs and hidden
states of 4 bits, sums of 6, what the host computes of 8.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from spikeram.conversion.training import Recipe, Stage
from spikeram.datasets import LabelledSet
from spikeram.lstm import LSTM
from spikeram.models.networks import speech
from spikeram.models.networks.command import command
from spikeram.models.networks.network import Network

N_CELLS, N_HIDDEN, N_GATES = 4, 112, 4

SUM_LIMIT, SUM_LEVELS = 4.0, 31
"""Largest sum at a gate, and its levels above 0: 6 bits."""

CELL_LIMIT, LEVELS = 4.0, 127
"""Largest state of a cell, and levels above 0 of what the host computes: 8 bits."""

GATE_LEVELS = 255
"""Levels of a gate, which is never negative."""

_CANDIDATE = 3 * N_HIDDEN
"""Where the sums of the candidate state begin, behind those of input, forget and output gate."""


class _Recurrence(torch.autograd.Function):
    """All steps of all cells as one node of the graph: several times faster than one by one."""

    @staticmethod
    def forward(ctx: Any, ahead: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return the last hidden states, (cell, sample, unit).

        `ahead` of shape (step, cell, sample, gate * unit) is what inputs bring, `weight` of shape
        (cell, gate * unit, unit) what hidden states meet.
        """
        turned = weight.transpose(1, 2).contiguous()
        hidden = state = ahead.new_zeros(*ahead.shape[1:3], weight.shape[2])
        past = []
        for sums in ahead:
            z = torch.baddbmm(sums, hidden, turned).clamp_(-SUM_LIMIT, SUM_LIMIT)
            z.mul_(SUM_LEVELS / SUM_LIMIT).round_().mul_(SUM_LIMIT / SUM_LEVELS)
            gate = torch.sigmoid(z[..., :_CANDIDATE]).mul_(GATE_LEVELS).round_().div_(GATE_LEVELS)
            let, keep, show = gate.chunk(3, -1)
            fresh = torch.tanh(z[..., _CANDIDATE:]).mul_(LEVELS).round_().div_(LEVELS)
            new = torch.addcmul(keep * state, let, fresh).clamp_(-CELL_LIMIT, CELL_LIMIT)
            new.mul_(LEVELS / CELL_LIMIT).round_().mul_(CELL_LIMIT / LEVELS)
            seen = torch.tanh(new).mul_(LEVELS).round_().div_(LEVELS)
            past.append((hidden, state, z, gate, fresh, new, seen))
            hidden = (show * seen).mul_(speech.LEVELS).round_().div_(speech.LEVELS)
            state = new
        ctx.past, ctx.weight = past, weight
        return hidden

    @staticmethod
    def backward(ctx: Any, to_hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gradients of both, roundings passed straight through."""
        past, weight = ctx.past, ctx.weight
        to_sums = to_hidden.new_empty(len(past), *to_hidden.shape[:2], weight.shape[1])
        to_state = torch.zeros_like(to_hidden)
        for step in reversed(range(len(past))):
            _, state, z, gate, fresh, new, seen = past[step]
            let, keep, show = gate.chunk(3, -1)
            to_state = torch.addcmul(to_state, to_hidden * show, 1 - seen * seen)
            to_state.masked_fill_(new.abs() >= CELL_LIMIT, 0.0)
            each = to_sums[step]
            to_let, to_keep, to_show, to_fresh = each.chunk(4, -1)
            torch.mul(to_state, fresh, out=to_let)
            torch.mul(to_state, state, out=to_keep)
            torch.mul(to_hidden, seen, out=to_show)
            each[..., :_CANDIDATE].mul_(gate - gate * gate)
            torch.mul(to_state * let, 1 - fresh * fresh, out=to_fresh)
            each.masked_fill_(z.abs() >= SUM_LIMIT, 0.0)
            to_state = to_state * keep
            to_hidden = torch.bmm(each, weight)
        hidden = torch.stack([each[0] for each in past], dim=1).flatten(1, 2)
        sums = to_sums.transpose(0, 1).flatten(1, 2)
        return to_sums, torch.bmm(sums.transpose(1, 2), hidden)


def _linear(layers: nn.ModuleList) -> list[nn.Linear]:
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


class KeywordLSTM(nn.Module):
    """The network; call it with clips (sample, frame, coefficient) in [-1, 1].

    Outputs of the layers are gates by units: input, forget and output gate, candidate state.
    """

    def __init__(self) -> None:
        super().__init__()
        width = N_GATES * N_HIDDEN
        self.from_input = nn.ModuleList(
            nn.Linear(speech.N_COEFFICIENTS, width) for _ in range(N_CELLS)
        )
        self.from_hidden = nn.ModuleList(
            nn.Linear(N_HIDDEN, width, bias=False) for _ in range(N_CELLS)
        )
        self.to_output = nn.ModuleList(
            nn.Linear(N_HIDDEN, speech.N_CLASSES) for _ in range(N_CELLS)
        )
        for into, within in zip(_linear(self.from_input), _linear(self.from_hidden)):
            nn.init.normal_(into.weight, std=0.3)
            nn.init.zeros_(into.bias)
            # A cell that keeps its state is where training begins best.
            nn.init.ones_(into.bias[N_HIDDEN : 2 * N_HIDDEN])
            nn.init.normal_(within.weight, std=0.7 / np.sqrt(N_HIDDEN))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the scores, of shape (sample, 12)."""
        ahead = torch.stack([layer(x.transpose(0, 1)) for layer in self.from_input], dim=1)
        weight = torch.stack([layer.weight for layer in _linear(self.from_hidden)])
        hidden = _Recurrence.apply(ahead, weight)  # type: ignore[no-untyped-call]
        scores = [layer(each) for layer, each in zip(self.to_output, hidden)]
        return torch.stack(scores).mean(0)


def samples(part: str) -> LabelledSet:
    """Return the frames of clips that do not overlap, and the words."""
    found = speech.samples(part)
    return replace(found, x=np.ascontiguousarray(found.x[:, ::2]))


def lstm_of(model: nn.Module) -> LSTM:
    """Return a model as arrays, which `spikeram.recurrent.program` takes."""
    if not isinstance(model, KeywordLSTM):
        raise TypeError(f"lstm_of expects a KeywordLSTM, got {type(model).__name__}.")

    def weights(layers: nn.ModuleList) -> NDArray[np.float64]:
        """Return weights of shape (cell, input, output)."""
        return np.stack([layer.weight.detach().double().numpy().T for layer in _linear(layers)])

    def biases(layers: nn.ModuleList) -> NDArray[np.float64]:
        return np.stack([layer.bias.detach().double().numpy() for layer in _linear(layers)])

    def by_gate(values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return weights of shape (cell, gate, input, unit)."""
        return values.reshape(N_CELLS, -1, N_GATES, N_HIDDEN).swapaxes(1, 2)

    return LSTM(
        from_input=by_gate(weights(model.from_input)),
        from_hidden=by_gate(weights(model.from_hidden)),
        bias=biases(model.from_input).reshape(N_CELLS, N_GATES, N_HIDDEN),
        to_output=weights(model.to_output),
        output_bias=biases(model.to_output),
        input_bits=speech.BITS,
        sum_limit=SUM_LIMIT,
        state_limit=CELL_LIMIT,
    )


NETWORK = Network(
    name="speech_lstm",
    build=KeywordLSTM,
    samples=samples,
    recipe=Recipe(
        stages=(Stage(epochs=9, rate=4e-3), Stage(epochs=5, rate=2e-3, noise=0.16)),
        batch=32,
        decay=1e-3,
        smoothing=0.1,
    ),
    input_bits=speech.BITS,
    activation_bits=speech.BITS,
    augment=speech.varied,
)

if __name__ == "__main__":
    command(NETWORK)()
