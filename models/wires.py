"""Wires of arrays; the published chip's were never given."""

from __future__ import annotations

from spikeram.parasitics import Wires


def assumed() -> Wires:
    """Return wires as a 130 nm array of NeuRRAM's size might have them: assumed, not measured.

    Notes
    -----
    *Derived.* Of a core, 28 % of the area is 256 neurons of 1270 um^2 each (Extended Data Fig. 11f
    of Wan et al., Nature 608, 504, 2022), so that its sides are 1.08 mm and a line, which crosses
    the whole core because neurons lie between the cells, is 4.2 um long for each cell. At
    0.125 ohm per square, met1 and met2 of the open 130 nm process SKY130, and an assumed width
    of 0.28 um that is 1.9 ohm for each cell.

    *Assumed.* 100 ohm of driver and lead; nothing in series with the cells, which are verified
    through their transistors.
    """
    return Wires(r_row=1.9, r_column=1.9, r_driver=100.0)


def thin() -> Wires:
    """Return 0.35 ohm from cell to cell and nothing else, the default of IBM/aihwkit's IR drop."""
    return Wires(r_row=0.35, r_column=0.35)
