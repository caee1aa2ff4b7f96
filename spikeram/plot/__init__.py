"""Pictures of runs, chips, conversions and sweeps.

Each function draws on the axes that it is given, or on ones of a figure of its own, and returns
them; ``plot.figure_of(axes).savefig(...)`` writes what was drawn, a notebook shows it.
"""

from spikeram.plot.canvas import figure_of as figure_of
from spikeram.plot.chips import (
    chip_map as chip_map,
    conductance_map as conductance_map,
    deviation as deviation,
    energy_breakdown as energy_breakdown,
    programming as programming,
    wire_loss as wire_loss,
)
from spikeram.plot.conversion import (
    activation_and_rate as activation_and_rate,
    error_parts as error_parts,
)
from spikeram.plot.runs import (
    Curve as Curve,
    accuracy as accuracy,
    confidence as confidence,
    correlation as correlation,
    isi_histogram as isi_histogram,
    membrane as membrane,
    raster as raster,
    rates as rates,
)
from spikeram.plot.sweeps import (
    over_axis as over_axis,
    over_steps as over_steps,
    sensitivity as sensitivity,
    spread as spread,
    yields as yields,
)
