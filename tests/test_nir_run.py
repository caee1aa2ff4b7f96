from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spikeram.conversion import nir
from spikeram.conversion.nir import Conventions
from spikeram.errors import ConversionError

DATA = Path(__file__).parent / "data" / "nir"

# What each framework does that its file does not say.
OF_FRAMEWORK = {
    # A step adds its input as it is; a spike resets to zero.
    "norse_if": Conventions(resistance="per_step"),
    # norse writes tau * dt where NIR has tau: 10 ms at dt = 1 ms stand as 1e-5 s.
    "norse_lif": Conventions(dt=1e-6),
    "sinabs_if": Conventions(resistance="per_step", reset="subtract", fires="at"),
    "sinabs_conv": Conventions(
        resistance="per_step", reset="subtract", fires="at", spikes="many", floor="threshold"
    ),
    # tau = 2 ms at dt = 0.1 ms, r = tau / dt: NIR's own equations.
    "snntorch_lif": Conventions(dt=1e-4),
    "snntorch_synaptic": Conventions(dt=1e-4),
    "snntorch_recurrent": Conventions(dt=1e-4),
    "spikingjelly_conv": Conventions(dt=1e-4, fires="at"),
    "spikingjelly_lif": Conventions(dt=1e-4, fires="at"),
}


def chain(*nodes, shape=1):
    """Return a graph of nodes one after the other."""
    parts = {"in": nir.Input(shape=shape)}
    parts |= {f"n{n}": node for n, node in enumerate(nodes)}
    leaving = nir.NIRGraph(nodes=parts, edges=tuple(zip(parts, list(parts)[1:]))).shapes
    parts["out"] = nir.Output(shape=leaving[list(parts)[-1]])
    return nir.NIRGraph(nodes=parts, edges=tuple(zip(parts, list(parts)[1:])))


def stepped(graph, x, **conventions):
    """Return the output of one sample, with all conventions given."""
    given = {"dt": 1e-3, "reset": "v_reset", "resistance": "per_step", **conventions}
    return nir.run(
        graph, np.asarray(x, dtype=float)[None], conventions=Conventions(**given)
    ).output[0]


@pytest.mark.filterwarnings("ignore::spikeram.conversion.nir.NIRAssumption")
@pytest.mark.parametrize("name", list(OF_FRAMEWORK))
def test_a_framework_and_we_fire_the_same_spikes(name):
    arrays = np.load(DATA / "spikes.npz")
    graph = nir.read(DATA / f"{name}.nir")
    ours = nir.run(graph, arrays[f"{name}_input"][None], conventions=OF_FRAMEWORK[name])
    theirs = arrays[f"{name}_spikes"]
    assert theirs.any()
    np.testing.assert_array_equal(ours.output[0].reshape(theirs.shape), theirs)


def test_the_recurrent_file_holds_a_loop():
    graph = nir.read(DATA / "snntorch_recurrent.nir")
    assert [sorted(part) for part in graph.loops()] == [["1.lif", "1.w_rec"]]


def test_an_integrator_adds_r_times_dt():
    out = stepped(chain(nir.I(r=[2.0])), np.ones((3, 1)), dt=0.25, resistance="continuous")
    assert out.ravel().tolist() == [0.5, 1.0, 1.5]


def test_a_leaky_integrator_of_euler_comes_to_rest_plus_input():
    node = nir.LI(tau=[4e-3], r=[3.0], v_leak=[0.5])
    out = stepped(chain(node), np.ones((400, 1)), resistance="continuous")
    assert out[0, 0] == 0.5 + 3 * 0.25
    # (3 / 4)**400 is below the resolution of float64.
    assert out[-1, 0] == pytest.approx(3.5, abs=1e-12)


def test_an_exponential_leak_is_the_exact_solution():
    node = nir.LI(tau=[4e-3], r=[3.0], v_leak=[0.0])
    out = stepped(chain(node), np.ones((9, 1)), resistance="continuous", leak="exponential")
    exact = 3 * (1 - np.exp(-np.arange(1, 10) / 4))
    np.testing.assert_allclose(out.ravel(), exact, rtol=1e-12)


def test_a_synapse_filters_before_the_membrane():
    node = nir.CubaLI(tau_mem=[2e-3], tau_syn=[4e-3], r=[1.0], v_leak=[0.0], w_in=[8.0])
    out = stepped(chain(node), [[1.0], [0.0]], resistance="continuous")
    # I = 2, then 1.5; V = 1, then (1 + 1.5) / 2.
    assert out.ravel().tolist() == [1.0, 1.25]


@pytest.mark.parametrize(("fires", "spikes"), [("above", 0), ("at", 1)])
def test_a_membrane_at_the_threshold_fires_by_convention(fires, spikes):
    node = nir.IF(r=[1.0], v_threshold=[1.0])
    assert stepped(chain(node), [[1.0]], fires=fires).sum() == spikes


def test_subtraction_keeps_what_is_beyond_the_threshold():
    node = nir.IF(r=[1.0], v_threshold=[1.0])
    x = np.full((16, 1), 0.75)
    assert stepped(chain(node), x, reset="subtract", fires="at").sum() == 12
    assert stepped(chain(node), x, reset="v_reset", fires="at").sum() == 8


def test_a_spike_resets_to_v_reset():
    node = nir.IF(r=[1.0], v_threshold=[1.0], v_reset=[-1.0])
    out = stepped(chain(node), np.full((8, 1), 0.5), fires="at")
    assert np.flatnonzero(out).tolist() == [1, 5]


def test_many_spikes_leave_in_one_step_where_that_is_wanted():
    node = nir.IF(r=[1.0], v_threshold=[1.0])
    out = stepped(chain(node), [[3.5], [0.5]], reset="subtract", fires="at", spikes="many")
    assert out.ravel().tolist() == [3.0, 1.0]


def test_a_floor_bounds_the_membrane():
    node = nir.IF(r=[1.0], v_threshold=[1.0])
    x = [[-5.0], [2.0]]
    assert stepped(chain(node), x, floor="threshold", fires="at").sum() == 1
    assert stepped(chain(node), x, fires="at").sum() == 0


@pytest.mark.parametrize("padding", ["same", "valid", (1, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_is_that_of_pytorch(padding, groups):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(4, 2 // groups, 3, 2)), rng.normal(size=4)
    x = rng.normal(size=(5, 2, 7, 6))
    stride = 1 if padding == "same" else (2, 1)
    options = {"padding": padding, "groups": groups, "stride": stride, "dilation": (1, 2)}
    node = nir.Conv2d(weight=weight, bias=bias, **options)
    arrays = (torch.tensor(array) for array in (x, weight, bias))
    expected = torch.nn.functional.conv2d(*arrays, **options)
    out = nir.run(chain(node, shape=(2, 7, 6)), x[:, None]).output[:, 0]
    np.testing.assert_allclose(out, expected.numpy(), rtol=1e-12, atol=1e-12)


def test_a_convolution_along_one_axis_is_that_of_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(4)
    weight, bias, x = rng.normal(size=(3, 2, 4)), rng.normal(size=3), rng.normal(size=(5, 2, 11))
    options = {"padding": 2, "stride": 3, "dilation": 2}
    expected = torch.nn.functional.conv1d(
        *(torch.tensor(array) for array in (x, weight, bias)), **options
    )
    graph = chain(nir.Conv1d(weight=weight, bias=bias, **options), shape=(2, 11))
    np.testing.assert_allclose(
        nir.run(graph, x[:, None]).output[:, 0], expected.numpy(), rtol=1e-12
    )


def test_pools_add_and_average():
    x = np.arange(16.0).reshape(1, 1, 1, 4, 4)
    added = nir.run(chain(nir.SumPool2d(kernel_size=2, stride=2), shape=(1, 4, 4)), x).output
    mean = nir.run(chain(nir.AvgPool2d(kernel_size=2, stride=2), shape=(1, 4, 4)), x).output
    assert added.ravel().tolist() == [10.0, 18.0, 42.0, 50.0]
    np.testing.assert_array_equal(added, 4 * mean)


def test_delays_differ_between_values():
    node = nir.Delay(delay=[0.0, 2e-3])
    out = stepped(chain(node, shape=2), np.arange(1, 9).reshape(4, 2))
    assert out.tolist() == [[1, 0], [3, 0], [5, 2], [7, 4]]


def test_a_weight_matrix_may_have_axes_in_front():
    weight = np.arange(12.0).reshape(2, 3, 2)
    out = nir.run(chain(nir.Linear(weight=weight), shape=(2, 2)), np.ones((1, 1, 2, 2))).output
    np.testing.assert_array_equal(out[0, 0], weight.sum(axis=2))


def test_a_loop_brings_spikes_back_one_step_later():
    graph = nir.NIRGraph(
        nodes={
            "in": nir.Input(shape=1),
            "neuron": nir.IF(r=[1.0], v_threshold=[1.0]),
            "back": nir.Affine(weight=[[1.0]], bias=[0.0]),
            "out": nir.Output(shape=1),
        },
        edges=(("in", "neuron"), ("neuron", "back"), ("back", "neuron"), ("neuron", "out")),
    )
    out = stepped(graph, [[0.0], [1.0], [0.0], [0.0]], fires="at")
    assert out.ravel().tolist() == [0.0, 1.0, 1.0, 1.0]


def test_a_delay_in_a_loop_replaces_its_step():
    graph = nir.NIRGraph(
        nodes={
            "in": nir.Input(shape=1),
            "neuron": nir.IF(r=[1.0], v_threshold=[1.0]),
            "later": nir.Delay(delay=[3e-3]),
            "out": nir.Output(shape=1),
        },
        edges=(("in", "neuron"), ("neuron", "later"), ("later", "neuron"), ("neuron", "out")),
    )
    x = np.zeros((8, 1))
    x[0] = 1
    assert np.flatnonzero(stepped(graph, x, fires="at")).tolist() == [0, 3, 6]


def test_the_bias_of_a_loop_acts_from_the_first_step():
    graph = nir.NIRGraph(
        nodes={
            "in": nir.Input(shape=1),
            "neuron": nir.I(r=[1.0]),
            "back": nir.Affine(weight=[[0.0]], bias=[0.25]),
            "out": nir.Output(shape=1),
        },
        edges=(("in", "neuron"), ("neuron", "back"), ("back", "neuron"), ("neuron", "out")),
    )
    assert stepped(graph, np.zeros((2, 1))).ravel().tolist() == [0.25, 0.5]


def test_a_graph_inside_is_as_good_as_its_nodes():
    inner = chain(nir.Linear(weight=[[0.5]]), nir.IF(r=[1.0], v_threshold=[1.0]))
    x = np.random.default_rng(1).random((20, 1))
    np.testing.assert_array_equal(
        stepped(chain(inner.flattened().nodes["n0"], inner.nodes["n1"]), x),
        stepped(nested(inner), x),
    )


def nested(inner):
    """Return a graph around a graph."""
    return nir.NIRGraph(
        nodes={"in": nir.Input(shape=1), "inner": inner, "out": nir.Output(shape=1)},
        edges=(("in", "inner"), ("inner", "out")),
    )


def test_samples_do_not_meet():
    graph = chain(nir.Linear(weight=[[0.5, 0.25]]), nir.IF(r=[1.0], v_threshold=[1.0]), shape=2)
    x = np.random.default_rng(2).random((3, 20, 2))
    together = nir.run(graph, x, conventions=Conventions(resistance="per_step", reset="subtract"))
    for s in range(3):
        alone = stepped(graph, x[s], reset="subtract")
        np.testing.assert_array_equal(together.output[s], alone)


def test_what_is_assumed_is_said():
    graph = chain(nir.IF(r=[1.0], v_threshold=[1.0]))
    with pytest.warns(nir.NIRAssumption, match="no time step: dt = 0.0001 s was assumed") as caught:
        run = nir.run(graph, np.ones((1, 2, 1)))
    said = str(caught[0].message)
    assert "does not say what a spike does at 'n0'" in said
    assert "'n0' have no v_reset" in said
    assert "give resistance='per_step'" in said
    assert " ".join(run.assumed) == said


def test_nothing_is_assumed_where_all_is_given():
    graph = chain(nir.IF(r=[1.0], v_threshold=[1.0]))
    given = Conventions(resistance="per_step", reset="subtract")
    assert nir.settle(graph, given).assumed == ()


@pytest.mark.parametrize(
    ("metadata", "reset"), [({"reset": "subtract"}, "subtract"), ({"reset": "v_reset"}, "v_reset")]
)
def test_metadata_of_a_neuron_tell_its_reset(metadata, reset):
    graph = chain(nir.IF(r=[1.0], v_threshold=[1.0], metadata=metadata))
    assert nir.settle(graph, Conventions()).reset == {"n0": reset}


def test_records_are_by_name():
    graph = chain(nir.Linear(weight=[[2.0]]), nir.Scale(scale=[3.0]))
    run = nir.run(graph, np.ones((1, 1, 1)), record=["n0"])
    assert run.recorded["n0"].item() == 2.0
    with pytest.raises(ValueError, match="record expects nodes of"):
        nir.run(graph, np.ones((1, 1, 1)), record=["n9"])


def test_inputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"'in' expects shape \(sample, step, 1\), got \(2, 3\)"):
        nir.run(chain(nir.Scale(scale=[1.0])), np.ones((2, 3)))


def test_shapes_that_do_not_fit_are_named():
    parts = {
        "in": nir.Input(shape=3),
        "w": nir.Linear(weight=[[1.0, 1.0]]),
        "out": nir.Output(shape=1),
    }
    graph = nir.NIRGraph(nodes=parts, edges=(("in", "w"), ("w", "out")))
    with pytest.raises(ConversionError, match=r"'w': Linear expects inputs of shape \(2,\), got"):
        nir.run(graph, np.ones((1, 1, 3)))


def test_unknown_conventions_are_refused():
    with pytest.raises(ValueError, match="reset expects one of 'from metadata', 'subtract'"):
        Conventions(reset="soft")
