from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import xarray as xr

import spikeram.accessor  # noqa: F401
from spikeram.comparison import (
    MACHINES,
    Machine,
    Workload,
    compare,
    node_factor,
    workload,
)
from spikeram.energy import CORE, energy, latency, product_energy
from spikeram.precision import Precision

from recordings import charge_layer, random_spikes, recording_of

WORK = Workload(macs=1000.0, weights=100.0, activations=10.0, synaptic_operations=300.0)
MACHINE = Machine(
    name="m", operation=2.0, instruction=5.0, weight_byte=7.0, buffer_byte=11.0, bytes=3, nm=45,
    source="",
)  # fmt: skip


def recorded():
    layers = [charge_layer("a", 4, rows=12), charge_layer("b", 3, rows=8)]
    ds = recording_of(
        random_spikes(0, 2, 5, (4, 3)), layers=layers, active_rows=np.array([[7, 9], [3, 1]])
    )
    return ds.assign(positions=("crossbar", np.array([5, 1])))


def test_a_machine_takes_its_operations_weights_and_buffers():
    assert MACHINE.energy(WORK) == 1000 * (2 + 5) + 100 * 3 * 7 + 2 * 10 * 3 * 11


def test_a_spiking_machine_reads_a_weight_for_each_synaptic_operation():
    machine = dataclasses.replace(MACHINE, works_on="spikes")
    assert machine.energy(WORK) == 300 * (2 + 5) + 300 * 3 * 7 + 2 * 10 * 3 * 11
    assert machine.operations(WORK) == 300


def test_the_work_is_that_of_the_recorded_crossbars():
    # 6 x 4 weights at 5 positions, and 4 x 3 at one.
    assert workload(recorded()) == Workload(
        macs=6 * 4 * 5 + 4 * 3,
        weights=6 * 4 + 4 * 3,
        activations=4 + 3 + 6,
        synaptic_operations=((7 + 3) * 4 + (9 + 1) * 3) / 2,
    )


def test_the_spiking_column_is_the_energy_and_latency_of_the_run():
    ds = recorded()
    found = compare(ds).sel(platform="spiking, with traffic")
    joules = energy(ds).mean("trial").sum("crossbar")
    assert float(found["energy"]) == pytest.approx(float(joules.sum()))
    assert float(found["latency"]) == pytest.approx(float(latency(ds)[0]))
    cores = compare(ds).sel(platform="spiking, cores alone")["energy"]
    assert float(cores) == pytest.approx(float(joules.sel(component=list(CORE)).sum()))


def test_inference_mode_makes_one_product_at_each_position():
    ds = recorded()
    found = product_energy(ds, Precision(4, 6), "neurram")
    one = product_energy(ds.assign(positions=("crossbar", [1, 1])), Precision(4, 6), "neurram")
    np.testing.assert_allclose(found.sel(crossbar="a"), 5 * one.sel(crossbar="a"))
    table = compare(ds, precision=Precision(4, 6))
    row = table.sel(platform="inference mode, 4 in 6 out, cores alone")
    assert float(row["energy"]) == pytest.approx(float(found.sel(component=list(CORE)).sum()))
    # 0.197 + 0.300 * 7 + 0.321 * 6 us, five times for one layer and once for the next.
    assert float(row["latency"]) == pytest.approx(6 * 4.223e-6)


def test_7_nm_takes_an_eighth_of_the_energy_and_a_95th_of_the_time():
    table = compare(recorded())
    now, then = (
        table.sel(platform=name)
        for name in ("spiking, cores alone", "spiking, cores alone, at 7 nm")
    )
    assert float(now["energy"] / then["energy"]) == pytest.approx(8)
    assert float(now["latency"] / then["latency"]) == pytest.approx(95)
    product = float(now["energy"] * now["latency"] / (then["energy"] * then["latency"]))
    assert product == pytest.approx(760)
    assert "recalled" in str(then["source"].values)


def test_every_figure_says_its_node_and_source():
    table = compare(recorded())
    assert all(str(source) for source in table["source"].values)
    assert all(str(node).endswith(" nm") for node in table["node"].values)
    assert {machine.name for machine in MACHINES} < set(table["platform"].values)


def test_relative_energies_are_those_of_the_spiking_run():
    table = compare(recorded())
    np.testing.assert_allclose(table["relative"], table["energy"] / table["energy"][0])


def test_published_operations_at_45_nm_are_those_usually_cited():
    by_name = {machine.name: machine for machine in MACHINES}
    one = Workload(macs=1, weights=0, activations=0, synaptic_operations=1)
    assert by_name["accelerator, float32"].energy(one) == pytest.approx(4.6e-12)
    assert by_name["accelerator, int8"].energy(one) == pytest.approx(0.3e-12)


def test_energy_scales_with_capacitance_and_the_square_of_the_supply():
    assert node_factor(45, 130) == pytest.approx(130 / 45 * (1.2 / 0.9) ** 2)
    assert node_factor(45, 130) * node_factor(130, 45) == pytest.approx(1)
    with pytest.raises(ValueError, match="knows 130, 45, 7 nm, got 28"):
        node_factor(45, 28)


def test_the_accessor_compares_too():
    ds = recorded()
    xr.testing.assert_identical(ds.spk.compare(), compare(ds))
