r"""Energy and latency of a recorded run, from a table of what each part of a core costs.

In one step every word line of a crossbar switches its cells on and off, each active pair of word
lines drives a pulse into the array, and every neuron samples, integrates and compares. A crossbar
with R rows and C columns lies on n cores of :math:`R_c \times C_c` cells. Each of its lines
crosses :math:`A = \lceil C / C_c \rceil` cores; its columns are cut into
:math:`B = \lceil n / A \rceil` parts, each with neurons of its own. For T steps of one sample, in
which pairs were active P times in all,

.. math::

    E_{\text{word lines}} &= T A \frac{R}{R_c}\,e_{\text{word lines}}, \qquad
    E_{\text{input}} = A P\,e_{\text{input}}, \\
    E_{\text{sample}} &= T B C\,e_{\text{sample}}, \qquad \text{likewise integrate, compare.}

Rows and columns that hold no weight cost nothing: their lines do not switch, their neurons are
off. Word lines, input drivers and neurons of the core are counted; adding up the parts of a tall
column, and moving spikes between cores, happens outside and is not.

Fully connected crossbars work at once, each one step behind the latest that drives it. With L of
them along the longest path the decision is ready after :math:`(T + L - 1)\,t_{\text{step}}`; max
pools take no step. A crossbar that holds a convolution is used at one position after the other, T
steps at each, so that no membrane has to be stored; the spike trains between layers are buffered. T
is then T times the positions in the energies, and the layers, those of all branches, follow each
other: :math:`P\,T\,t_{\text{step}}` for P positions in all. The parts of a layer that is cut over
cores (`spikeram.partial`) work at once; its soma, outside the cores, costs nothing here.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from spikeram import registry
from spikeram.recording import INPUT
from spikeram.units import Joule, Second, as_si

COMPONENTS = ("word_lines", "input_pulses", "sample", "integrate", "compare")
"""What an energy is split into."""


@dataclass(frozen=True, kw_only=True)
class EnergyModel:
    """What each part of a core costs.

    Parameters
    ----------
    word_lines : Joule
        Switching all word lines of a full core on and off once, one step's worth [J].
    input_pulse : Joule
        One input pulse on one pair of rows across a full core [J].
    sample : Joule
        Sampling one settled line by one neuron [J].
    integrate : Joule
        Moving one sample onto the integration capacitor of one neuron [J].
    compare : Joule
        One comparison of one neuron with its threshold, with the charge decrement [J].
    step_time : Second
        Duration of one sample-integrate-compare step [s].
    core_rows, core_columns : int
        Cells of a core.

    Examples
    --------
    >>> model = EnergyModel(
    ...     word_lines="500 pJ",
    ...     input_pulse="2 pJ",
    ...     sample="1 pJ",
    ...     integrate="0.25 pJ",
    ...     compare="0.25 pJ",
    ...     step_time="1 us",
    ... )
    >>> round(model.full_core_step, 15)
    1.14e-09
    """

    word_lines: Joule
    input_pulse: Joule
    sample: Joule
    integrate: Joule
    compare: Joule
    step_time: Second
    core_rows: int = 256
    core_columns: int = 256

    def __post_init__(self) -> None:
        for name in ("word_lines", "input_pulse", "sample", "integrate", "compare"):
            energy = as_si(getattr(self, name), "J", f"EnergyModel.{name}")
            if not 0 <= energy < math.inf:
                raise ValueError(f"EnergyModel.{name} expects an energy >= 0, got {energy} J.")
            object.__setattr__(self, name, energy)
        step_time = as_si(self.step_time, "s", "EnergyModel.step_time")
        if not 0 < step_time < math.inf:
            raise ValueError(f"EnergyModel.step_time expects a time > 0, got {step_time} s.")
        object.__setattr__(self, "step_time", step_time)
        if self.core_rows < 2 or self.core_columns < 1:
            raise ValueError(
                "EnergyModel expects core_rows >= 2 and core_columns >= 1, "
                f"got {self.core_rows} and {self.core_columns}."
            )

    @property
    def full_core_step(self) -> Joule:
        """Energy of one step of a full core with every row active [J]."""
        neuron = self.sample + self.integrate + self.compare
        pulses = self.input_pulse * (self.core_rows // 2)
        return self.word_lines + pulses + self.core_columns * neuron


def energy(ds: xr.Dataset, model: str | EnergyModel | None = None) -> xr.DataArray:
    """Return the energy of each sample in each crossbar [J].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    model : str or EnergyModel, optional
        What a core costs, or the name of a chip. By default the chip that ran, and for an ideal
        network the NeuRRAM chip, as if it had.

    Returns
    -------
    xarray.DataArray of dims (trial, crossbar, component)
        The components are `COMPONENTS`; sum over them for the whole.

    Examples
    --------
    The energy of a sample is ``energy(ds).sum(["crossbar", "component"])``.
    """
    table = resolve(model, ds)
    steps = int(ds.attrs["steps"]) * ds["positions"]
    across = np.ceil(ds["columns"] / table.core_columns)
    neurons = ds["columns"] * np.ceil(ds["rows"] / table.core_rows)
    every_sample = xr.ones_like(ds["active_rows"], dtype=np.float64)
    parts = [
        every_sample * (steps * across * ds["rows"] / table.core_rows * table.word_lines),
        ds["active_rows"] * across * table.input_pulse,
        every_sample * (steps * neurons * table.sample),
        every_sample * (steps * neurons * table.integrate),
        every_sample * (steps * neurons * table.compare),
    ]
    joules = np.stack([part.transpose("trial", "crossbar").values for part in parts], axis=-1)
    return xr.DataArray(
        joules,
        dims=("trial", "crossbar", "component"),
        coords={
            "trial": ds["trial"],
            "crossbar": ds["crossbar"],
            "component": np.array(COMPONENTS),
        },
        name="energy",
        attrs={"units": "J", "long_name": "energy"},
    )


def latency(ds: xr.Dataset, model: str | EnergyModel | None = None) -> xr.DataArray:
    """Return the time from the first step to the decision of each sample [s].

    Parameters
    ----------
    ds : xarray.Dataset
        A recording.
    model : str or EnergyModel, optional
        As for `energy`.

    Returns
    -------
    xarray.DataArray of dims (trial,)
        T + L - 1 steps for a longest path of L fully connected crossbars, or P T for P positions
        in all, and one more for encoded inputs; the same for all samples.
    """
    table = resolve(model, ds)
    steps, positions = int(ds.attrs["steps"]), ds["positions"].values
    if positions.max() == 1:
        # The last window closes then; encoded inputs open the first one a step earlier.
        total = round(ds.attrs["t_stop"] / ds.attrs["dt"])
    else:
        if "part_of" in ds.variables:
            # The parts of a layer are used at once.
            positions = ds["positions"].groupby(ds["part_of"]).max().values
        # Encoded input spikes take one step to reach the first crossbar.
        total = steps * int(positions.sum()) + int(np.any(ds["layer"].values == INPUT))
    return xr.DataArray(
        np.full(ds.sizes["trial"], total * table.step_time),
        dims=("trial",),
        coords={"trial": ds["trial"]},
        name="latency",
        attrs={"units": "s", "long_name": "latency"},
    )


def resolve(model: str | EnergyModel | None, ds: xr.Dataset | None = None) -> EnergyModel:
    """Return the energy model that is meant.

    Parameters
    ----------
    model : str, EnergyModel or None
        A model itself, the name of a chip, or None for that of the recording.
    ds : xarray.Dataset, optional
        A recording, which names the energies of the chip that ran.

    Raises
    ------
    ValueError
        If no chip has the name, or the chip has no energy model.
    """
    if isinstance(model, EnergyModel):
        return model
    if model is None and ds is not None:
        recorded = json.loads(ds.attrs["provenance"]).get("energy_model")
        if recorded is not None:
            return EnergyModel(**recorded)
    name = model or "neurram"
    found = getattr(registry.lookup("chips", name)(), "energy", None)
    if not isinstance(found, EnergyModel):
        raise ValueError(
            f"The chip {name!r} has no energy model. Pass a spikeram.energy.EnergyModel."
        )
    return found
