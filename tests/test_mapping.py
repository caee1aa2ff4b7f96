from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from spikeram.conversion import TrainedNetwork, convert
from spikeram.errors import CapacityError
from spikeram.mapping import map_network
from spikeram.models import chips, papers
from spikeram.packing import MappingRules, map_footprints
from spikeram.placement import Footprint, Stack
from spikeram.programming import program
from spikeram.simulation import simulate

from networks import convolutional, inputs, trained

X = inputs(0, 60)
NETWORK = convert(trained(2, (6, 20, 12, 3)), X, steps=16)
TALL = convert(trained(3, (300, 20, 3)), inputs(0, 30, 300), steps=8)
CONVOLUTIONAL = convert(convolutional(), inputs(0, 40, 84), steps=8)


def matrix(name="a", n_pairs=4, n_columns=3, **options):
    return Footprint(name=name, n_pairs=n_pairs, n_columns=n_columns, **options)


def cells_of(mapping, part):
    """Return the cells that a part takes, as (core, word line, column) in one number each."""
    stack = mapping.stack
    rows = mapping.word_lines(part)[:, np.newaxis]
    return ((part.core * stack.rows + rows) * stack.columns + mapping.columns(part)).ravel()


# Properties of any mapping.


@st.composite
def problems(draw):
    counts = st.integers(1, 30)
    limits = st.one_of(st.none(), st.integers(5, 30))
    wanted = [
        matrix(
            f"layer_{n}",
            draw(counts),
            draw(counts),
            bias_pairs=draw(st.integers(0, 2)),
            n_positions=draw(st.integers(1, 2)),
            copies=draw(st.integers(1, 2)),
            stage=draw(st.integers(0, 2)),
        )
        for n in range(draw(st.integers(1, 6)))
    ]
    n_chips, n_cores = draw(st.integers(1, 3)), draw(st.integers(1, 40))
    rows, columns = draw(st.integers(8, 40)), draw(st.integers(4, 32))
    lines = {
        limit: st.dictionaries(
            st.integers(0, n_chips * n_cores - 1),
            st.lists(st.integers(0, limit - 1), max_size=4),
            max_size=4,
        )
        for limit in (rows, columns)
    }
    stack = Stack(
        n_chips=n_chips,
        n_cores=n_cores,
        rows=rows,
        columns=columns,
        bad_rows=draw(lines[rows]),
        bad_columns=draw(lines[columns]),
    )
    merge = draw(st.sampled_from(["as_needed", "always", "never"]))
    rules = MappingRules(
        max_pairs=draw(limits),
        max_columns=draw(limits),
        merge=merge,
        used_once_in_turn=draw(st.booleans()),
    )
    return wanted, stack, rules


def mapped(problem):
    """Return the mapping on as many more chips as it takes."""
    wanted, stack, rules = problem
    for _ in range(6):
        try:
            return map_footprints(wanted, stack, rules)
        except CapacityError:
            stack = dataclasses.replace(stack, n_chips=2 * stack.n_chips)
    assume(False)


@settings(deadline=None, max_examples=60)
@given(problems())
def test_no_cell_is_taken_twice(problem):
    mapping = mapped(problem)
    cells = np.concatenate([cells_of(mapping, part) for part in mapping.placements])
    assert np.unique(cells).size == cells.size == mapping.n_cells


@settings(deadline=None, max_examples=60)
@given(problems())
def test_every_weight_is_placed_once_for_each_copy(problem):
    mapping = mapped(problem)
    for one in mapping.footprints:
        held = np.zeros((one.copies, one.n_pairs, one.n_columns), int)
        for part in mapping.parts[one.name]:
            held[part.copy, slice(*part.pairs), slice(*part.columns)] += 1
        assert np.all(held == 1)


@settings(deadline=None, max_examples=60)
@given(problems())
def test_bad_lines_are_not_used_and_no_core_is_exceeded(problem):
    mapping = mapped(problem)
    for part in mapping.placements:
        rows, columns = mapping.word_lines(part), mapping.columns(part)
        # Short slices would mean that a part reaches over the end of its core.
        assert (rows.size, columns.size) == (2 * part.height, part.width)
        assert not set(rows) & set(mapping.stack.bad_rows.get(part.core, ()))
        assert not set(columns) & set(mapping.stack.bad_columns.get(part.core, ()))


@settings(deadline=None, max_examples=60)
@given(problems())
def test_a_column_belongs_to_one_part_and_word_lines_to_one_at_a_time(problem):
    mapping = mapped(problem)
    rules = problem[2]
    footprints = {one.name: one for one in mapping.footprints}
    columns, lines = [], {}
    for part in mapping.placements:
        columns += [(part.core, column) for column in mapping.columns(part)]
        stage = footprints[part.layer].stage
        for row in mapping.word_lines(part):
            lines.setdefault((part.core, stage, row), []).append((part.layer, part.copy))
    assert len(set(columns)) == len(columns)
    shared = [users for users in lines.values() if len(users) > 1]
    # Only parts of one matrix that is used once share them within a stage, if they may.
    assert all(len(set(users)) == 1 for users in shared)
    in_turn = {users[0][0] for users in shared}
    assert in_turn == set(mapping.used_in_turn)
    assert all(rules.used_once_in_turn and footprints[n].n_positions == 1 for n in in_turn)


@settings(deadline=None, max_examples=60)
@given(problems())
def test_utilisation_counts_every_cell_and_only_cores_in_use_are_powered(problem):
    mapping = mapped(problem)
    used = mapping.utilisation()
    per_core = mapping.stack.rows * mapping.stack.columns
    assert float(used.sum()) * per_core == pytest.approx(mapping.n_cells)
    np.testing.assert_array_equal(used.values > 0, mapping.powered)
    assert mapping.n_powered == len({part.core for part in mapping.placements})


@settings(deadline=None, max_examples=60)
@given(problems())
def test_segments_are_those_that_a_crossbar_of_this_height_has(problem):
    mapping = mapped(problem)
    for one in mapping.footprints:
        height = mapping.height(one.name)
        starts = range(0, one.n_pairs, height)
        expected = {(start, min(start + height, one.n_pairs)) for start in starts}
        assert {part.pairs for part in mapping.parts[one.name]} == expected


@settings(deadline=None, max_examples=60)
@given(problems())
def test_what_an_error_proposes_helps(problem):
    wanted, stack, rules = problem
    assume(not stack.bad_rows and not stack.bad_columns)
    try:
        map_footprints(wanted, stack, rules)
    except CapacityError as error:
        assume("leave no room" not in str(error))
        words = str(error).replace(".", " ").replace(",", " ").split()
        more = {word.split("=")[0]: int(word.split("=")[1]) for word in words if "=" in word
                and word.split("=")[1].isdigit()}  # fmt: skip
        map_footprints(wanted, dataclasses.replace(stack, n_chips=more["n_chips"]), rules)
        map_footprints(wanted, dataclasses.replace(stack, n_cores=more["n_cores"]), rules)


# The networks of the paper.


@pytest.mark.parametrize(
    ("network", "max_pairs", "cells", "matrices", "cores"),
    [
        (papers.resnet20, papers.MAX_INPUTS, 553_524, 66, 48),
        (papers.lstm, None, 559_104 + 10_944, 32 + 4, 36),
        (papers.rbm, papers.MAX_INPUTS, 401_760, 16, 16),
    ],
)
def test_published_networks_take_their_published_cells_matrices_and_cores(
    network, max_pairs, cells, matrices, cores
):
    mapping = map_footprints(network(), chips.neurram().stack(), MappingRules(max_pairs=max_pairs))
    assert (mapping.n_cells, len(mapping.placements), mapping.n_powered) == (cells, matrices, cores)


@pytest.mark.parametrize(
    ("network", "max_pairs", "cores"),
    [
        (papers.mnist_cnn, papers.MAX_INPUTS, 11),
        (papers.resnet20, papers.MAX_INPUTS, 48),
        (papers.lstm, None, 36),
        (papers.rbm, papers.MAX_INPUTS, 16),
    ],
)
def test_one_rule_gives_the_published_cores_of_all_four_networks(network, max_pairs, cores):
    rules = MappingRules(max_pairs=max_pairs, used_once_in_turn=True)
    assert map_footprints(network(), chips.neurram().stack(), rules).n_powered == cores


def test_the_published_mnist_network_takes_its_cells_and_segments():
    rules = MappingRules(max_pairs=papers.MAX_INPUTS)
    apart = map_footprints(papers.mnist_cnn(), chips.neurram().stack(), rules)
    assert (apart.n_cells, len(apart.placements), apart.n_powered) == (46_664, 16, 16)
    # Ten segments of convolutions, and the six of the dense layer on one core.
    rules = dataclasses.replace(rules, used_once_in_turn=True)
    mapping = map_footprints(papers.mnist_cnn(), chips.neurram().stack(), rules)
    assert (mapping.n_cells, len(mapping.placements), mapping.n_powered) == (46_664, 16, 11)
    assert mapping.used_in_turn == ("dense",)
    assert len({part.core for part in mapping.parts["dense"]}) == 1


def test_parameters_of_the_published_networks_are_those_of_their_models():
    def weights(network):
        return sum(one.n_pairs * one.n_columns for one in network)

    # Weights and one bias a column; of the model's 274,461 ResNet parameters 2,752 are those of
    # batch normalisation (688 channels) and 19 clipping values.
    assert weights(papers.mnist_cnn()) + sum(n.n_columns for n in papers.mnist_cnn()) == 23_170
    assert weights(papers.resnet20()) + sum(n.n_columns for n in papers.resnet20()) == (
        274_461 - 4 * 688 - 19
    )


# Cutting.


def test_segments_are_of_equal_size_within_the_limit():
    mapping = map_footprints([matrix(n_pairs=512)], Stack(), MappingRules(max_pairs=100))
    heights = [part.height for part in mapping.placements]
    assert heights == [86, 86, 86, 86, 86, 82]


def test_columns_are_cut_likewise():
    mapping = map_footprints([matrix(n_columns=600)], Stack(), MappingRules(max_columns=250))
    assert [part.columns for part in mapping.placements] == [(0, 200), (200, 400), (400, 600)]


def test_each_segment_has_bias_pairs_of_its_own():
    mapping = map_footprints([matrix(n_pairs=144, n_columns=16, bias_pairs=2)], Stack())
    assert [part.height for part in mapping.placements] == [74, 74]
    assert mapping.n_cells == 2 * (144 + 2 * 2) * 16


# Merging.


def test_parts_share_cores_only_where_there_are_more_parts_than_cores():
    parts = [matrix(f"{n}", 100, 60, stage=n) for n in range(4)]
    cores = {
        (n, merge): map_footprints(parts, Stack(n_cores=n), MappingRules(merge=merge)).n_powered
        for n, merge in ((4, "as_needed"), (3, "as_needed"), (4, "always"), (4, "never"))
    }
    # Side by side, four of 60 columns fit into the 256 of one core.
    assert cores == {
        (4, "as_needed"): 4,
        (3, "as_needed"): 3,
        (4, "always"): 1,
        (4, "never"): 4,
    }


def test_matrices_used_at_once_stand_along_a_diagonal():
    at_once = [matrix(f"{n}", 40, 60) for n in range(3)]
    mapping = map_footprints(at_once, Stack(), MappingRules(merge="always"))
    assert [(part.row, part.column) for part in mapping.placements] == [
        (0, 0),
        (80, 60),
        (160, 120),
    ]
    # A fourth has no word lines left, but for one used at another time they are free.
    more = [*at_once, matrix("3", 40, 60, stage=1)]
    assert map_footprints(more, Stack(), MappingRules(merge="always")).placements[3].core == 0
    more = [*at_once, matrix("3", 40, 60)]
    assert map_footprints(more, Stack(), MappingRules(merge="always")).placements[3].core == 1


def test_fully_connected_layers_work_at_once_and_convolutional_networks_layer_by_layer():
    assert {one.stage for one in map_network(NETWORK).footprints} == {0}
    assert len({one.stage for one in map_network(CONVOLUTIONAL).footprints}) == 3


def test_layers_that_share_word_lines_take_turns_and_others_do_not():
    parts = [matrix("a", 100, 60), matrix("b", 100, 60, stage=1), matrix("c", 20, 9, stage=1)]
    merged = map_footprints(parts, Stack(), MappingRules(merge="always"))
    # On one core: b beside a, and c below b, where a has no word lines.
    assert [part.row for part in merged.placements] == [0, 0, 200]
    assert merged.taking_turns == (("a", "b"),)
    assert map_footprints(parts, Stack()).taking_turns == ()


def test_parts_of_a_layer_that_is_used_once_stand_side_by_side_as_far_as_columns_go():
    rules = MappingRules(max_pairs=20, used_once_in_turn=True)
    once = matrix(n_pairs=70, n_columns=100, bias_pairs=1)
    mapping = map_footprints([once], Stack(), rules)
    # Segments of 18, 18, 18 and 16 pairs, two of 100 columns to a core.
    assert [(part.core, part.row, part.column) for part in mapping.placements] == [
        (0, 0, 0),
        (0, 0, 100),
        (1, 0, 0),
        (1, 0, 100),
    ]
    assert mapping.used_in_turn == ("a",)
    for often in (dataclasses.replace(once, n_positions=2), dataclasses.replace(once, uses=2)):
        assert map_footprints([often], Stack(), rules).n_powered == 4


def test_merging_makes_room_for_a_network_that_had_too_many_cores():
    chip = dataclasses.replace(chips.ideal(), n_cores=2)
    merged = program(NETWORK, chip=chip, seed=0)
    assert (merged.cores, merged.mapping.n_powered) == ((1, 1, 1), 2)
    with pytest.raises(CapacityError, match="needs 3 cores.*has 2: 1 too many.*merge='as_needed'"):
        map_network(NETWORK, chip, rules=MappingRules(merge="never"))


# Bad lines.


def test_a_part_avoids_the_core_that_is_too_bad_for_it():
    stack = Stack(n_cores=3, bad_rows={0: np.arange(19)})
    mapping = map_footprints([matrix(n_pairs=128), matrix("b", 118)], stack)
    # 237 good word lines are 118 pairs.
    assert [part.core for part in mapping.placements] == [1, 0]
    assert mapping.word_lines(mapping.placements[1])[0] == 19


def test_where_every_core_is_bad_matrices_are_cut_finer():
    stack = Stack(n_cores=4, bad_rows={core: [5, 9] for core in range(4)})
    assert [part.height for part in map_footprints([matrix(n_pairs=128)], stack).placements] == [
        64,
        64,
    ]


def test_bad_lines_are_skipped_and_the_lines_around_them_make_pairs():
    stack = Stack(n_cores=1, bad_rows={0: [1, 4]}, bad_columns={0: [0]})
    mapping = map_footprints([matrix(n_pairs=3, n_columns=2)], stack)
    (part,) = mapping.placements
    assert mapping.word_lines(part).tolist() == [0, 2, 3, 5, 6, 7]
    assert mapping.columns(part).tolist() == [1, 2]


def test_where_a_layer_lies_makes_no_difference_to_its_cells():
    bad = {core: [0, 3, 5] for core in range(10)}
    chip = chips.neurram()
    mapping = map_network(TALL, chip, stack=chip.stack(bad_rows=bad))
    plain, remapped = (program(TALL, seed=0, mapping=m, rounds=0) for m in (None, mapping))
    for a, b in zip(plain.layers, remapped.layers):
        np.testing.assert_array_equal(a.crossbar.conductance, b.crossbar.conductance)


def test_what_bad_lines_leave_too_small_is_said():
    stack = Stack(n_cores=2, bad_rows={0: np.arange(254), 1: np.arange(250)})
    with pytest.raises(CapacityError, match="needs 1 whole cores. Of the 2 .* 2 have bad lines"):
        map_footprints([matrix(n_pairs=20)], stack)


# Stacks.


def test_layers_stay_whole_and_in_order_on_the_chips_of_a_stack():
    layers = [matrix(f"{n}", 300, 20) for n in range(4)]
    mapping = map_footprints(layers, Stack(n_chips=3, n_cores=7))
    chip = [part.core // 7 for part in mapping.placements]
    # Three cores each: two layers a chip.
    assert chip == [0] * 6 + [1] * 6
    assert mapping.powered.sum(axis=1).tolist() == [6, 6, 0]


def test_a_layer_larger_than_a_chip_is_spread_over_several():
    mapping = map_footprints([matrix(n_pairs=1280)], Stack(n_chips=3, n_cores=4))
    assert [part.core for part in mapping.placements] == list(range(10))


# Simulation.


def test_ideal_partial_sums_are_the_same_to_the_bit_wherever_a_matrix_is_cut():
    chip = chips.ideal()
    whole = program(TALL, chip=chip, seed=0).charge_layers()
    for limit in (100, 64, 7):
        rules = MappingRules(max_pairs=limit)
        cut = program(TALL, chip=chip, seed=0, mapping=map_network(TALL, chip, rules=rules))
        assert len(cut.layers[0].crossbar.segments) == -(-301 // limit) == cut.cores[0]
        for a, b in zip(whole, cut.charge_layers()):
            np.testing.assert_array_equal(a.weight, b.weight)
            np.testing.assert_array_equal(a.threshold, b.threshold)


def test_segments_of_the_crossbars_are_the_placements():
    rules = MappingRules(max_pairs=100, merge="always")
    mapping = map_network(TALL, rules=rules)
    chip = program(TALL, seed=0, mapping=mapping, rounds=0)
    for layer, programmed in zip(TALL.layers, chip.layers):
        segments = [(rows.start, rows.stop) for rows in programmed.crossbar.segments]
        assert segments == [part.pairs for part in mapping.parts[layer.name]]


def test_merged_layers_fire_the_same_spikes_for_the_same_energy():
    alone, merged = (
        program(CONVOLUTIONAL, seed=0, mapping=map_network(CONVOLUTIONAL, rules=rules), rounds=0)
        for rules in (MappingRules(merge="never"), MappingRules(merge="always"))
    )
    assert merged.mapping.n_powered < alone.mapping.n_powered
    a, b = (simulate(chip, inputs(1, 5, 84)) for chip in (alone, merged))
    np.testing.assert_array_equal(a["t"], b["t"])
    np.testing.assert_array_equal(a.spk.energy(), b.spk.energy())


def test_the_cells_of_a_programmed_chip_are_those_of_its_mapping():
    for pairs in (1, 3):
        chip = dataclasses.replace(chips.ideal(), pairs_per_weight=pairs)
        programmed = program(CONVOLUTIONAL, chip=chip, seed=0)
        assert programmed.n_cells == programmed.mapping.n_cells


def test_a_mapping_of_another_network_or_chip_is_refused():
    mapping = map_network(NETWORK)
    with pytest.raises(ValueError, match="made for other matrices: layer .* has 7 pairs"):
        program(convert(trained(2, (6, 21, 12, 3)), X, steps=16), seed=0, mapping=mapping)
    small = dataclasses.replace(chips.neurram(), rows=64)
    with pytest.raises(ValueError, match="expects chips of 48 cores of 256 x 256, but 'neurram'"):
        program(NETWORK, chip=small, seed=0, mapping=mapping)
    with pytest.raises(ValueError, match="expects chips of 48 cores"):
        map_network(NETWORK, small, stack=chips.neurram().stack())


# Tables and bad input.


def test_the_table_lists_every_placement_where_it_is():
    mapping = map_network(TALL, rules=MappingRules(max_pairs=100))
    table = mapping.table()
    assert table.sizes["placement"] == len(mapping.placements) == 5
    assert int(table["cells"].sum()) == table.attrs["cells"] == mapping.n_cells
    for n, part in enumerate(mapping.placements):
        one = table.isel(placement=n)
        assert (one["layer"], one["first_pair"], one["n_pairs"], one["n_columns"]) == (
            part.layer,
            part.pairs[0],
            part.height,
            part.width,
        )
        assert int(one["row"]) == mapping.word_lines(part)[0]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: matrix(n_pairs=0), "'a' expects n_pairs to be a count >= 1, got 0"),
        (lambda: Stack(n_cores=0), "Stack expects n_cores to be a count >= 1, got 0"),
        (lambda: Stack(bad_rows={0: [256]}), r"bad_rows\[0\] expects lines 0 to 255, got 256"),
        (lambda: Stack(bad_columns={0: [0.5]}), "expects numbers of lines, got float64"),
        (lambda: Stack(bad_rows={48: [1]}), "expects cores 0 to 47, got 48"),
        (lambda: Stack(max_bytes=0), "max_bytes expects bytes > 0, got 0"),
        (lambda: MappingRules(max_pairs=0), "max_pairs expects a count >= 1, got 0"),
        (lambda: MappingRules(merge="often"), "expects 'as_needed', 'always' or 'never'"),
        (lambda: map_footprints([matrix(), matrix()], Stack()), "footprints of different names"),
        (lambda: map_footprints([matrix(bias_pairs=9)], Stack(rows=16)), "leave no room in a core"),
    ],
)
def test_bad_input_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_only_networks_are_mapped():
    with pytest.raises(TypeError, match="map_network expects a SpikingNetwork, got TrainedNetwork"):
        map_network(trained())
    with pytest.raises(TypeError, match="chip expects a Chip or the name of one, got int"):
        map_network(NETWORK, 3)


def test_a_network_that_does_not_fit_says_by_how_much_and_what_would_help():
    wide = TrainedNetwork.chain(
        weights=(np.random.default_rng(0).normal(size=(6, 30_000)),), biases=(np.zeros(30_000),)
    )
    words = "needs 118 cores, but chip 'neurram' has 48: 70 too many.*n_cores=118.*n_chips=3"
    with pytest.raises(CapacityError, match=words):
        map_network(convert(wide, X, steps=None, method="percentile"))
