r"""The activation of an integrate-and-fire neuron, with its gradient.

The clip-floor-shift activation is what such a neuron computes in :math:`L` steps from half a
threshold,

.. math:: a = \lambda\,\mathrm{clip}\left(\frac{1}{L}
          \left\lfloor\frac{zL}{\lambda} + \frac12\right\rfloor, 0, 1\right),

with the threshold :math:`\lambda` learned and the floor passed straight through (Bu et al.,
ICLR 2022, equation 15 and theorem 2). `spikeram.conversion.convert` takes :math:`\lambda` as the
threshold. With :math:`L = 2^n - 1` it is as well the clipped activation of n bits of inference
mode, its clip learned (PACT; Choi et al., arXiv:1805.06085).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class _ClipFloorShift(torch.autograd.Function):
    """The activation in one node of the graph: several times faster than its formula in torch."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, threshold: torch.Tensor, levels: int) -> torch.Tensor:
        share = (z / threshold.to(z.dtype)).clamp_(0.0, 1.0)
        ctx.save_for_backward(share)
        ctx.levels = levels
        return torch.floor(share * levels + 0.5) * (threshold / levels).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        (share,) = ctx.saved_tensors
        # 1 inside the range and 0 at its ends, without a comparison: those are slow in torch.
        inside = torch.sign(share * (1 - share))
        slope = torch.floor(share * ctx.levels + 0.5) / ctx.levels - share * inside
        return gradient * inside, torch.sum((gradient * slope).float()), None


class ClipFloorShift(nn.Module):
    """The activation of an integrate-and-fire neuron after `levels` steps, with its gradient.

    Parameters
    ----------
    levels : int
        Number of levels L; 4 serves up to T = 4, 8 from there on.
    threshold : float
        Threshold to begin with; it is learned.
    """

    def __init__(self, levels: int, threshold: float = 4.0) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"ClipFloorShift expects levels >= 1, got {levels}.")
        self.levels = levels
        self.threshold = nn.Parameter(torch.tensor(float(threshold)))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Return the activation, of the shape of `z`."""
        if torch.compiler.is_compiling():
            # torch.compile fuses the formula, but not a node of our own.
            share = torch.clamp(z / self.threshold, 0.0, 1.0)
            rounded = torch.floor(share * self.levels + 0.5) / self.levels
            fused: torch.Tensor = (share + (rounded - share).detach()) * self.threshold
            return fused
        activation: torch.Tensor = _ClipFloorShift.apply(  # type: ignore[no-untyped-call]
            z, self.threshold, self.levels
        )
        return activation

    def extra_repr(self) -> str:
        """Return the levels and the threshold."""
        return f"levels={self.levels}, threshold={float(self.threshold):.4g}"
