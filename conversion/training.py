r"""Training for few time steps and for noisy cells: what to put into a torch model.

The clip-floor-shift activation is what an integrate-and-fire neuron computes in :math:`L` steps
from half a threshold,

.. math:: a = \lambda\,\mathrm{clip}\left(\frac{1}{L}
          \left\lfloor\frac{zL}{\lambda} + \frac12\right\rfloor, 0, 1\right),

with the threshold :math:`\lambda` learned and the floor passed straight through (Bu et al.,
ICLR 2022, equation 15 and theorem 2). `spikeram.conversion.convert` takes :math:`\lambda` as the
threshold. Weight noise of :math:`\epsilon` times a layer's largest weight, drawn anew in every
forward pass, makes a network tolerant of conductance errors (Wan et al., Nature 608, 504, 2022).
"""

from __future__ import annotations

from typing import Any

try:
    import torch
    from torch import nn
except ImportError:
    from spikeram.errors import MissingExtraError

    raise MissingExtraError("torch", "torch", "spikeram.conversion.training") from None


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
        activation: torch.Tensor = _ClipFloorShift.apply(  # type: ignore[no-untyped-call]
            z, self.threshold, self.levels
        )
        return activation

    def extra_repr(self) -> str:
        """Return the levels and the threshold."""
        return f"levels={self.levels}, threshold={float(self.threshold):.4g}"


class WeightNoise:
    """Gaussian noise on the weights of a model's linear and convolution layers, while training.

    Used as a context: ``with WeightNoise(model, 0.1): loss = ...; loss.backward()``. The weights
    come back as they were when the block ends, so that the gradient is applied to the clean ones.

    Parameters
    ----------
    model : torch.nn.Module
        Whose ``Linear`` and ``Conv`` weights are disturbed.
    share : float
        Standard deviation as a share of each layer's largest weight.
    generator : torch.Generator, optional
        Where the noise is drawn from.
    """

    def __init__(
        self, model: nn.Module, share: float, generator: torch.Generator | None = None
    ) -> None:
        kinds = (nn.Linear, nn.Conv1d, nn.Conv2d)
        self._weights = [m.weight for m in model.modules() if isinstance(m, kinds)]
        self._share = share
        self._generator = generator
        self._clean: list[torch.Tensor] = []

    def __enter__(self) -> WeightNoise:
        with torch.no_grad():
            self._clean = [weight.clone() for weight in self._weights]
            for weight in self._weights:
                noise = torch.randn(weight.shape, generator=self._generator)
                weight.add_(noise * (self._share * weight.abs().max()))
        return self

    def __exit__(self, *_: Any) -> None:
        with torch.no_grad():
            for weight, clean in zip(self._weights, self._clean):
                weight.copy_(clean)
