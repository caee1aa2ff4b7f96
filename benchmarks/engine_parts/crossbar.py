"""One crossbar in each tool, by size, batch and activity."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from crossbar_step import make_layer
from numpy.typing import NDArray

from engine_parts.fixed import TOOLS, agreement, exported, ran
from engine_parts.timing import best
from spikeram._kernels.crossbar import charge_of_spikes
from spikeram.charge import ChargeLayer
from spikeram.simulation import clocked

ACTIVITIES = (0.01, 0.05, 0.1, 0.3)
SIZES = (256, 1024, 2048)
BATCHES = (1, 64, 1024)
INPUTS = 2**19
"""Inputs in all steps of all samples: as many for each size and batch."""

SYNAPSES = 2**26
"""Most synapses that Brian2 is asked for: 2 GiB with their indices."""


@dataclass(frozen=True)
class Case:
    """One crossbar of a size, for samples at once."""

    size: int
    batch: int

    @property
    def steps(self) -> int:
        """Steps T."""
        return max(1, INPUTS // self.size // self.batch)

    def layer(self) -> ChargeLayer:
        """Return the crossbar, whose neurons fire now and then."""
        layer = make_layer(self.size)
        # The spread of the charge of a step in which a tenth of the inputs spikes.
        threshold = round(float(layer.weight.std()) * (0.1 * self.size) ** 0.5)
        return replace(layer, threshold=np.full(self.size, threshold, np.int32))

    def spikes(self, activity: float) -> NDArray[np.int8]:
        """Return spikes of shape (sample, step, input), equally many in each step."""
        rng = np.random.default_rng(1)
        order = rng.random((self.batch, self.steps, self.size)).argsort(-1)
        return (order < round(activity * self.size)).astype(np.int8)

    def nodes(self) -> tuple[ChargeLayer, ChargeLayer]:
        """Return the crossbar and an output of one neuron, which the peers' scripts end with."""
        layer = self.layer()
        weight = np.ones((self.size, 1), np.int16)
        one = np.zeros(1, np.int32)
        last = replace(
            layer, name="sum", weight=weight, bias=one, initial=one, threshold=one + 2**29,
            negative=one, scale=np.ones(1),
        )  # fmt: skip
        return layer, last


def cases() -> Iterator[Case]:
    """Yield every size with every batch."""
    for size in SIZES:
        for batch in BATCHES:
            yield Case(size, batch)


def arrays(peak: float) -> list[dict[str, float]]:
    """Return what one crossbar takes here, by size, batch and activity."""
    rows = []
    for case in cases():
        layer, size, steps = case.layer(), case.size, case.steps
        dense = case.spikes(0.1)[:, 0].astype(np.float32)
        product = steps * best(np.matmul, dense, layer.weight.astype(np.float32))
        for activity in ACTIVITIES:
            spikes = case.spikes(activity)
            additions = int(spikes.sum()) * size
            flat = spikes.reshape(-1, size)
            out = np.empty((case.batch * steps, size), np.int32)
            busy = np.empty(len(flat), bool)
            charge = best(charge_of_spikes, flat, layer.tiles, size, out, busy)
            step = best(clocked, [layer], None, spikes, steps=steps, threads=1)
            rows.append(
                {
                    "size": size,
                    "batch": case.batch,
                    "steps": steps,
                    "activity": activity,
                    "additions_per_s": additions / charge,
                    "of_peak": additions / charge / peak,
                    "product_over_charge": product / charge,
                    "product_over_step": product / step,
                    "us_per_sample_and_step": 1e6 * step / case.batch / steps,
                    "product_us": 1e6 * product / case.batch / steps,
                }
            )
    return rows


def peers(python: str | None) -> list[dict[str, Any]]:
    """Return what one crossbar takes in SpikingJelly and snnTorch."""
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        # One process of a tool for each size.
        runs = [(Case(size, batch), activity) for batch in BATCHES for activity in ACTIVITIES]
        nodes = runs[0][0].nodes()
        trains = [case.spikes(activity) for case, activity in runs]
        problems = [
            exported(nodes, steps=case.steps, spikes=some) for (case, _), some in zip(runs, trains)
        ]
        ours = [
            clocked(nodes[:1], None, some, steps=case.steps).spikes[0].sum(1, dtype=np.int64)
            for (case, _), some in zip(runs, trains)
        ]
        for tool, name in TOOLS.items():
            found = ran(tool, python, problems)
            for (case, activity), counts, one in zip(runs, ours, found):
                one.pop("output", None)
                if "seconds" in one:
                    one |= agreement(one, nodes, [counts])
                    one["us_per_sample_and_step"] = 1e6 * one["seconds"] / case.batch / case.steps
                shared = {"size": size, "batch": case.batch, "steps": case.steps}
                rows.append({**shared, "activity": activity, "tool": name, **one})
    return rows


def in_brian2(target: str) -> list[dict[str, Any]]:
    """Return what one crossbar takes in Brian2's own Synapses."""
    import brian2 as b2
    from brian2 import ms

    from engine_parts.brian2_network import before_and_steps, joined
    from spikeram.brian import sampling_neurons

    b2.prefs.codegen.target = target
    b2.defaultclock.dt = 1 * ms
    rows: list[dict[str, Any]] = []
    for case in cases():
        shared = {
            "size": case.size, "batch": case.batch, "steps": case.steps,
            "tool": f"Brian2 Synapses, {target}",
        }  # fmt: skip
        synapses = case.batch * case.size**2
        if synapses > SYNAPSES:
            reason = f"{synapses / 1e9:.1f} billion synapses, a copy for each sample"
            rows += [{**shared, "activity": one, "reason": reason} for one in ACTIVITIES]
            continue
        layer = case.layer()
        inputs = b2.SpikeGeneratorGroup(case.batch * case.size, [], [] * ms)
        neurons = sampling_neurons(case.batch * case.size, layer)
        monitor = b2.SpikeMonitor(neurons, record=False)
        network = b2.Network(inputs, neurons, joined(inputs, neurons, layer, case.batch), monitor)
        network.store()
        for activity in ACTIVITIES:
            spikes = case.spikes(activity)
            k, sample, i = np.nonzero(spikes.transpose(1, 0, 2))

            def given() -> None:
                network.restore()  # noqa: B023
                inputs.set_spikes(sample * case.size + i, k * ms, sorted=True)  # noqa: B023

            # Charge is integrated in the step after its spikes.
            before, seconds = before_and_steps(network, (case.steps + 1) * ms, given)
            found = np.asarray(monitor.count).reshape(case.batch, -1)
            ours = clocked([layer], None, spikes, steps=case.steps).spikes[0].sum(1)
            rows.append(
                {
                    **shared, "activity": activity, "seconds": seconds, "before": before,
                    "us_per_sample_and_step": 1e6 * seconds / case.batch / case.steps,
                    "same_counts": int((found == ours).sum()), "counts": int(ours.size),
                }
            )  # fmt: skip
    return rows
