"""What would become of a model."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from spikeram import cli
from spikeram.conversion import TrainedLayer, TrainedNetwork, inspect, lower, ops
from spikeram.conversion.advice import advice, depth

from networks import chain, trained

RNG = np.random.default_rng(0)
CONV = ops.Conv(weight=RNG.normal(size=(3, 2, 3, 3)), padding=1)
MODEL = chain(
    [
        CONV,
        ops.batch_norm(np.zeros(3), np.ones(3), weight=1.0, bias=0.0, epsilon=1e-5),
        ops.Rectifier(),
        ops.Pool(kind="max", kernel=2),
        ops.Flatten(),
        ops.Linear(weight=RNG.normal(size=(4, 27))),
        ops.Softmax(),
    ],
    (2, 6, 6),
)


def test_every_operation_has_a_row_with_its_shape_and_its_fate():
    rows = inspect(MODEL).operations
    assert [row.kind for row in rows] == [
        "Conv", "Scale", "Rectifier", "Pool", "Flatten", "Linear", "Softmax",
    ]  # fmt: skip
    assert [row.shape for row in rows[:4]] == ["3 x 6 x 6"] * 3 + ["3 x 3 x 3"]
    assert rows[0].fate == "crossbar of 18 x 3 weights, used at 36 positions"
    assert rows[1].fate == "folded into 0"
    assert rows[3].fate == "counting max pool of 27 counters"
    assert rows[6].fate.startswith("left out")


def test_cells_count_both_polarities_and_one_pair_of_rows_for_biases():
    found = inspect(MODEL)
    assert [row.cells for row in found.crossbars] == [2 * 19 * 3, 2 * 28 * 4]
    assert found.cells == 2 * 19 * 3 + 2 * 28 * 4
    assert found.cores == 2 <= found.n_cores


def test_cores_are_counted_as_the_mapping_cuts():
    wide = inspect(trained(sizes=(300, 600, 2)), chip="neurram")
    assert [row.cores for row in wide.crossbars] == [9, 5]


def test_small_crossbars_can_share_a_core():
    found = inspect(trained(sizes=(6, 20, 12, 3)))
    assert (found.cores, found.merged) == (3, 1)


def test_what_cannot_be_converted_is_marked_in_its_place_and_nothing_is_raised():
    bad = chain([CONV, ops.Unsupported("Sigmoid", "train with ReLU"), ops.Flatten()], (2, 6, 6))
    found = inspect(bad)
    assert not found.supported
    assert found.crossbars == ()
    assert [row.supported for row in found.operations] == [True, False, True]
    assert found.operations[1].fate == "cannot be converted: train with ReLU"


@pytest.mark.parametrize(("hidden", "advised"), [(6, False), (7, True)])
def test_deep_networks_are_advised_to_take_spikes_back(hidden, advised):
    found = inspect(trained(sizes=(4, *[5] * hidden, 2)))
    assert found.depth == hidden
    assert bool(found.advice) == advised
    assert ("signed_reconstruction" in found.advice) == advised


def test_depth_is_that_of_the_longest_path():
    eye, zero = np.eye(3), np.zeros(3)
    sources = {"a": ["input"], "b": ["a"], "c": ["b"], "d": ["a"], "output": ["c", "d"]}
    layers = [
        TrainedLayer(name=name, sources=tuple(read), weight=np.tile(eye, (len(read), 1)), bias=zero)
        for name, read in sources.items()
    ]
    assert depth(TrainedNetwork(nodes=tuple(layers))) == 3


def test_learned_thresholds_and_a_chosen_method_need_no_advice():
    plain = trained(sizes=(4, *[5] * 8, 2))
    assert advice(plain)
    assert not advice(plain, "percentile")
    learned = [replace(layer, threshold=np.ones(5)) for layer in plain.layers[:-1]]
    assert not advice(TrainedNetwork(nodes=(*learned, plain.layers[-1])))


def run(*arguments):
    return CliRunner().invoke(cli.main, ["inspect", *map(str, arguments)])


def test_the_command_prints_both_tables(tmp_path):
    lower(MODEL).save(tmp_path / "model.npz")
    result = run(tmp_path / "model.npz")
    assert result.exit_code == 0
    assert "counting max pool" in result.output
    assert "338 cells" in result.output


def test_the_commands_print_their_advice(tmp_path):
    trained(sizes=(4, *[5] * 8, 2)).save(tmp_path / "deep.npz")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20, 4)))
    said = "8 rectified layers follow each other"
    assert said in " ".join(run(tmp_path / "deep.npz").output.split())
    arguments = [
        "convert", tmp_path / "deep.npz", "--calibration", tmp_path / "x.npy", "--output",
        tmp_path / "network.npz",
    ]  # fmt: skip
    for further, advised in ([], True), (["--method", "signed"], False):
        result = CliRunner().invoke(cli.main, [str(part) for part in arguments + further])
        assert result.exit_code == 0
        assert (said in " ".join(result.output.split())) == advised


def test_a_shape_that_is_none_is_refused(tmp_path):
    result = run(tmp_path / "model.onnx", "--input-shape", "3,a")
    assert result.exit_code == 2
    assert "expects lengths such as 3,32,32, got '3,a'" in result.output


def test_the_exit_code_tells_that_something_cannot_be_converted(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")
    helper = onnx.helper
    value = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 4]) for n in "xy"]
    nodes = [helper.make_node("Sigmoid", ["x"], ["z"]), helper.make_node("Tanh", ["z"], ["y"])]
    graph = helper.make_graph(nodes, "two", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, tmp_path / "a.onnx")
    result = run(tmp_path / "a.onnx")
    assert result.exit_code == 1
    assert "2 of 2 operations cannot be converted." in result.output
