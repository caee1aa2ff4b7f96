"""CrossSim's analog product of one array, for `benchmarks/mvm.py`: a balanced core.

Pairs of cells between 1 and 40 uS, one of them at its least; 8-bit converters of sign and
magnitude, as wide as inputs and exact outputs. Read noise is drawn for every cell in every product,
normal and independent of the conductance, 0.4 uS. CrossSim draws a batch at once or, with
`disable_fast_matmul`, sample by sample: both are measured. Arrays are ready before the clock runs.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version as version_of
from typing import Any

import numpy as np
from numpy.typing import NDArray
from simulator import AnalogCore, CrossSimParameters

G_MIN, G_MAX = 1e-6, 40e-6
SIGMA_READ = 0.4e-6
LARGEST_CODE = 127


def version() -> str:
    """Return the version of the package, if it was installed as one."""
    try:
        return f"CrossSim {version_of('CrossSim')}"
    except PackageNotFoundError:
        return "CrossSim, version unknown: not installed as a package"


def noisy(weight: NDArray[np.float32], codes: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
    """Return the calls of noisy products: weights (input, output), codes (sample, input)."""
    at_once = _parameters(weight, codes, read_noise=True)
    one_by_one = at_once.copy()
    one_by_one.simulation.disable_fast_matmul = True
    # x @ core with read noise takes the matrix the wrong way round in 3.2.0.
    turned = np.ascontiguousarray(weight.T)
    return {
        "CrossSim, read noise, batch at once": _right(AnalogCore(turned, at_once), codes),
        "CrossSim, read noise, one by one": _right(AnalogCore(turned, one_by_one), codes),
    }


def quiet(weight: NDArray[np.float32], codes: NDArray[np.float32]) -> dict[str, Callable[[], Any]]:
    """Return the calls of products with converters and without noise."""
    parameters = _parameters(weight, codes)
    return {
        "CrossSim x @ core, no noise": _left(AnalogCore(weight, parameters), codes),
        "CrossSim core @ x, no noise": _right(
            AnalogCore(np.ascontiguousarray(weight.T), parameters.copy()), codes
        ),
    }


def _parameters(
    weight: NDArray[np.float32], codes: NDArray[np.float32], *, read_noise: bool = False
) -> CrossSimParameters:
    outputs = codes / LARGEST_CODE @ (weight / np.abs(weight).max())
    bound = float(np.abs(outputs).max()) * (1 - G_MIN / G_MAX)
    p = CrossSimParameters()
    p.core.mapping.inputs.mvm.min, p.core.mapping.inputs.mvm.max = -LARGEST_CODE, LARGEST_CODE
    p.xbar.device.Rmin, p.xbar.device.Rmax = 1 / G_MAX, 1 / G_MIN
    p.xbar.dac.mvm.model, p.xbar.dac.mvm.bits = "SignMagnitudeDAC", 8
    p.xbar.adc.mvm.model = "SignMagnitudeADC"
    # The model makes a new object of the parameters, in both directions.
    p.xbar.adc.mvm.bits = 8
    p.xbar.adc.mvm.calibrated_range = [-bound, bound]
    if read_noise:
        p.xbar.device.read_noise.enable = True
        p.xbar.device.read_noise.model = "NormalIndependentDevice"
        p.xbar.device.read_noise.magnitude = SIGMA_READ / G_MAX
    return p


def _left(core: Any, codes: NDArray[np.float32]) -> Callable[[], Any]:
    x = codes[0] if len(codes) == 1 else codes
    return lambda: x @ core


def _right(core: Any, codes: NDArray[np.float32]) -> Callable[[], Any]:
    x = np.ascontiguousarray(codes[0] if len(codes) == 1 else codes.T)
    return lambda: (core @ x).T
