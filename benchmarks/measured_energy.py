"""Print the component model of NeuRRAM beside its measurements, as docs/energy.md shows it.

Run: python benchmarks/measured_energy.py
"""

from __future__ import annotations

from spikeram.energy import CORE, price, product_events
from spikeram.models.energies import CORES, MEASURED, ONE_PHASE, OPERATIONS, Measured, neurram
from spikeram.precision import Precision


def main() -> None:
    model = neurram()
    print("| in, out | TOPS | TOPS/W | us | word lines fJ | neurons fJ | pulses fJ | sum fJ |")
    print("|---|---|---|---|---|---|---|---|")
    for row in (*MEASURED, *ONE_PHASE):
        found = modelled(row)
        cells = [f"{row.input_bits}, {row.output_bits}{' (one phase)' if row.split else ''}"]
        cells += [against(*pair) for pair in found]
        print(f"| {' | '.join(cells)} |")
    once = price(product_events(model, Precision(4, 6), rows=256, columns=256), model)
    step = model.full_core_step
    whole = float(once.sel(component=list(CORE)).sum())
    ratio = model.product_time(Precision(4, 6)) / model.step_time
    print(f"\nA spiking step: {1e9 * step:.3f} nJ, {1e15 * step / 32768:.1f} fJ a synapse.")
    print(f"A 4-bit product: {1e9 * whole:.2f} nJ, {whole / step:.1f} steps; {ratio:.1f} in time.")


def modelled(row: Measured) -> list[tuple[float, float]]:
    """Return pairs of model and measurement."""
    model = neurram()
    joules = price(product_events(model, row.precision, rows=256, columns=256), model)
    each = {str(n): 1e15 * float(joules.sel(component=n)) / OPERATIONS for n in CORE}
    time = model.product_time(row.precision)
    lines, pulses = each["word_lines"] + each["start"], each["input_pulses"]
    whole = sum(each.values())
    return [
        (OPERATIONS * CORES / time / 1e12, row.tops),
        (1e3 / whole, row.tops_per_watt),
        (1e6 * time, 1e6 * row.time),
        (lines, row.word_lines),
        (whole - lines - pulses, row.neurons),
        (pulses, row.input_pulses),
        (whole, row.word_lines + row.neurons + row.input_pulses),
    ]


def against(found: float, measured: float) -> str:
    if measured != measured:
        return f"{found:.3g}"
    return f"{found:.3g} ({100 * (found / measured - 1):+.1f} %)"


if __name__ == "__main__":
    main()
