from __future__ import annotations

import dataclasses

import pytest

from spikeram.conversion import convert
from spikeram.errors import CapacityError
from spikeram.mapping import map_network
from spikeram.models import chips
from spikeram.packing import map_footprints
from spikeram.placement import Footprint, Stack
from spikeram.traffic import check_traffic, traffic

from networks import branching, inputs, trained

CHAIN = (
    Footprint(name="a", n_pairs=10, n_columns=8),
    Footprint(name="b", n_pairs=8, n_columns=4, sources=(("a", 8),)),
)


def test_nothing_travels_on_one_chip():
    found = traffic(map_footprints(CHAIN, Stack()), steps=10)
    assert (found.sizes["link"], found.attrs["bytes"]) == (0, 0)


def test_a_link_sends_addresses_or_a_bit_for_each_train_and_step():
    mapping = map_footprints(CHAIN, Stack(n_chips=2, n_cores=1, columns=8))
    for rate, size in ((1.0, 8 * 32 / 8), (0.01, 8 * 32 * 0.01 * 4)):
        found = traffic(mapping, steps=32, rates={"a": rate, "b": 1.0})
        assert found["source"].values.tolist() == ["a"]
        assert found["target"].values.tolist() == ["b"]
        assert found.attrs["bytes"] == pytest.approx(size)


def test_segments_on_another_chip_send_their_partial_sums():
    shape = Footprint(name="a", n_pairs=30, n_columns=8, n_positions=5)
    # Three segments of ten pairs, one on each chip: two of them send.
    found = traffic(
        map_footprints([shape], Stack(n_chips=3, n_cores=1, rows=20, columns=8)), steps=4
    )
    assert found["kind"].values.tolist() == ["partial sums"] * 2
    assert found["to_chip"].values.tolist() == [0, 0]
    assert found.attrs["bytes"] == 2 * 8 * 5 * 4 * 2


def test_segments_on_one_chip_are_added_there():
    shape = Footprint(name="a", n_pairs=40, n_columns=8)
    found = traffic(
        map_footprints([shape], Stack(n_chips=2, n_cores=2, rows=20, columns=8)), steps=1
    )
    assert found["trains"].values.tolist() == [8]


def test_a_chip_is_sent_the_trains_of_its_rows_alone():
    layers = (
        Footprint(name="a", n_pairs=10, n_columns=8),
        Footprint(name="b", n_pairs=20, n_columns=8, sources=(("a", 20),)),
    )
    mapping = map_footprints(layers, Stack(n_chips=3, n_cores=1, rows=20, columns=8))
    found = traffic(mapping, steps=8)
    spikes = found.isel(link=found["kind"].values == "spikes")
    assert spikes["to_chip"].values.tolist() == [1, 2]
    assert spikes["trains"].values.tolist() == [10, 10]


def test_pools_lie_beside_the_layer_that_they_pool():
    network = branching()
    mapping = map_network(network)
    sources = {shape.name: shape.sources for shape in mapping.footprints}
    assert sources["first"] == ()
    assert sources["second"] == (("first", 36),)
    assert sources["sum"] == (("second", 36), ("first", 36))
    assert sources["output"] == (("sum", 36),)


def test_more_than_the_budget_is_refused_and_less_is_not():
    network = convert(trained(2, (6, 20, 12, 3)), inputs(0, 60), steps=16)
    chip = dataclasses.replace(chips.ideal(), n_cores=1, rows=64, columns=24)
    # Three layers on three chips: 20 and then 12 trains of 16 steps, one bit each.
    total = (20 + 12) * 16 / 8
    enough = map_network(network, chip, stack=chip.stack(3, max_bytes=total))
    assert traffic(enough, steps=16).attrs["bytes"] == total
    with pytest.raises(CapacityError, match=r"16 steps moves 64 bytes .* at most 63 may: most of"):
        map_network(network, chip, stack=chip.stack(3, max_bytes=63))
    tight = dataclasses.replace(enough, stack=chip.stack(3, max_bytes=30))
    check_traffic(tight, steps=16, rates=0.01)
    with pytest.raises(CapacityError, match="fewer steps, fewer chips"):
        check_traffic(tight, steps=16, rates=0.1)
