"""Training for few time steps and for noisy cells, in PyTorch (the extra ``torch``).

`ClipFloorShift` is the activation of an integrate-and-fire neuron; `WeightNoise` disturbs weights
while a model is trained; `fit` trains, and goes on where it was interrupted; `fine_tune` retrains
layers on what a programmed chip really sends them.
"""

try:
    import torch  # noqa: F401
except ImportError:
    from spikeram.errors import MissingExtraError

    raise MissingExtraError("torch", "torch", "spikeram.conversion.training") from None

from spikeram.conversion.training.activation import ClipFloorShift as ClipFloorShift
from spikeram.conversion.training.fit import (
    Recipe as Recipe,
    Stage as Stage,
    accuracy as accuracy,
    fit as fit,
)
from spikeram.conversion.training.in_the_loop import (
    InferenceMode as InferenceMode,
    SpikingMode as SpikingMode,
    fine_tune as fine_tune,
)
from spikeram.conversion.training.noise import (
    DeviceNoise as DeviceNoise,
    WeightNoise as WeightNoise,
)
