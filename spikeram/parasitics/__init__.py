"""Wires, drivers and transistors around the cells, and what they do to a crossbar's outputs."""

from spikeram.parasitics.active_lines import LineSolver as LineSolver, line_solver as line_solver
from spikeram.parasitics.exact_map import transfer as transfer
from spikeram.parasitics.nonohmic import SinhCell as SinhCell, settle_cells as settle_cells
from spikeram.parasitics.wires import (
    Direction as Direction,
    Termination as Termination,
    Wires as Wires,
    interleaved as interleaved,
)
