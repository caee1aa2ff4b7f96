from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spikeram.conversion import convert
from spikeram.duplication import duplicate
from spikeram.energy import CORE
from spikeram.filling import fill_chip
from spikeram.mapping import map_network
from spikeram.models import chips
from spikeram.network import Layer, MaxPool, SpikingNetwork
from spikeram.packing import MappingRules
from spikeram.programming import program
from spikeram.simulation import simulate

from networks import branching, convolutional, inputs

CONVOLUTIONAL = convert(convolutional(), inputs(0, 40, 84), steps=8)


def overlapping():
    """Return a convolution at 4 positions whose max pool has windows that overlap."""
    network = branching()
    first = network.layers[0]
    pool = MaxPool("pool", "first", np.array([[n, n + 1] for n in range(35)], np.int32))
    output = Layer(
        name="output", weight=np.ones((35, 2)), bias=np.zeros(2), threshold=np.ones(2),
        sources=("pool",), spikes="ternary",
    )  # fmt: skip
    return SpikingNetwork(nodes=(first, pool, output), steps=4)


def spikes_of(ds, names):
    """Return the number of spikes of each neuron of some layers, sorted."""
    return np.sort(ds["row_size"].values[:, np.isin(ds["layer"].values, names)], axis=1)


@pytest.mark.parametrize(
    ("network", "name", "copies"),
    [
        (CONVOLUTIONAL, "conv_1", 2),
        (CONVOLUTIONAL, "conv_1", 5),
        (CONVOLUTIONAL, "conv_2", 4),
        (branching(), "first", 2),
        (branching(), "first", 9),
        (branching(), "second", 2),
        (branching(), "sum", 2),
    ],
)
@pytest.mark.parametrize("on", ["network", "ideal chip"])
def test_copies_fire_the_spikes_of_the_whole(network, name, copies, on):
    copied = duplicate(network, name, copies)
    x = inputs(1, 6, network.n_inputs)
    a, b = (
        simulate(n if on == "network" else program(n, chip="ideal", seed=0), x)
        for n in (network, copied)
    )
    np.testing.assert_array_equal(a["output"], b["output"])
    names = [f"{name}.{n}" for n in range(copies)]
    np.testing.assert_array_equal(spikes_of(a, [name]), spikes_of(b, names))
    assert int(a.sizes["event"]) == b.sizes["event"] > 0


def test_copies_share_the_positions_out():
    copied = duplicate(CONVOLUTIONAL, "conv_1", 4)
    assert [layer.n_positions for layer in copied.layers] == [11, 10, 11, 10, 4, 1]
    indices = np.concatenate([layer.gather.index for layer in copied.layers[:4]])
    np.testing.assert_array_equal(indices, CONVOLUTIONAL.layers[0].gather.index)


def test_positions_that_meet_in_a_pool_stay_in_one_copy():
    copied = duplicate(branching(), "first", 3)
    # 9 windows of 2 x 2 positions, a pool for each copy.
    assert [layer.n_positions for layer in copied.layers[:3]] == [12, 12, 12]
    pools = [node for node in copied.nodes if isinstance(node, MaxPool)]
    assert [(pool.name, pool.source) for pool in pools] == [
        (f"pool.{n}", f"first.{n}") for n in range(3)
    ]


def test_copies_of_copies_still_compute_the_same():
    network = branching()
    twice = duplicate(duplicate(network, "first", 3), "first.1", 3)
    x = inputs(1, 6, network.n_inputs)
    np.testing.assert_array_equal(simulate(network, x)["output"], simulate(twice, x)["output"])


def test_each_copy_has_cells_and_errors_of_its_own():
    copied = program(duplicate(CONVOLUTIONAL, "conv_1", 2), seed=0, rounds=0)
    one, other = (layer.crossbar.conductance for layer in copied.layers[:2])
    np.testing.assert_array_equal(copied.layers[0].target, copied.layers[1].target)
    assert not np.array_equal(one, other)


def test_copies_work_at_once_and_so_share_no_word_lines():
    copied = duplicate(CONVOLUTIONAL, "conv_1", 2)
    mapping = map_network(copied, rules=MappingRules(merge="always"))
    first, second = (mapping.parts[f"conv_1.{n}"][0] for n in range(2))
    assert first.core == second.core
    assert not set(mapping.word_lines(first)) & set(mapping.word_lines(second))


def test_copies_cost_the_energy_of_the_whole():
    x = inputs(1, 4, 84)
    # In the cores; addresses of fewer neurons are shorter on the way between them.
    whole, copied = (
        simulate(program(network, chip=chips.ideal(), seed=0), x)
        .spk.energy()
        .sel(component=list(CORE))
        for network in (CONVOLUTIONAL, duplicate(CONVOLUTIONAL, "conv_1", 3))
    )
    # Sums of the same terms in another order.
    np.testing.assert_allclose(
        copied.sum(["crossbar", "component"]), whole.sum(["crossbar", "component"]), rtol=1e-12
    )


def test_left_over_cores_take_copies_of_what_takes_longest():
    chip = dataclasses.replace(chips.ideal(), n_cores=6)
    filled = fill_chip(CONVOLUTIONAL, chip)
    # 42 and 4 positions on one core each: three more cores for the former, 11 positions at most.
    assert [layer.n_positions for layer in filled.layers] == [11, 10, 11, 10, 4, 1]
    assert map_network(filled, chip).n_powered == 6
    x = inputs(1, 6, 84)
    a, b = (simulate(network, x)["output"] for network in (CONVOLUTIONAL, filled))
    np.testing.assert_array_equal(a, b)


def test_where_the_busiest_cannot_have_more_the_next_one_does():
    # 6 copies of the first leave each a window's worth; a seventh would see too little.
    filled = fill_chip(CONVOLUTIONAL)
    counts = [layer.n_positions for layer in filled.layers]
    assert counts == [7] * 6 + [1] * 4 + [1]
    assert map_network(filled).n_powered == len(counts)


def test_one_copy_is_the_network_itself():
    assert duplicate(CONVOLUTIONAL, "conv_1", 1) is CONVOLUTIONAL


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((CONVOLUTIONAL, "output", 2), r"name of a convolution \(conv_1, conv_2\), got 'output'"),
        ((CONVOLUTIONAL, "conv_2", 5), "cannot share the 4 positions .* leave 4 groups"),
        ((CONVOLUTIONAL, "conv_1", 0), "number of copies >= 1, got 0"),
        ((overlapping(), "first", 2), "max pools leave 1 groups"),
        ((branching(), "second", 3), "padding would leave some with rows that nothing drives"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        duplicate(*arguments)
