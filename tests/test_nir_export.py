from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

import spikeram as sr
from spikeram.conversion import nir
from spikeram.conversion.nir import Conventions
from spikeram.errors import ConversionError
from spikeram.gather import Gather, after_average_pool, convolution
from spikeram.network import Layer, SpikingNetwork

PEERS = ("sinabs", "norse", "spikingjelly", "snntorch")


def layer(name, rng, n_rows, n_columns, **options):
    """Return a layer whose weights, in units of its thresholds, float32 holds exactly."""
    return Layer(
        name=name,
        weight=rng.integers(-24, 44, (n_rows, n_columns)) / 64,
        bias=rng.integers(-24, 44, n_columns) / 512,
        threshold=2.0 ** rng.integers(-1, 2, n_columns),
        **options,
    )


def dense(**options):
    """Return two hidden layers and an output."""
    rng = np.random.default_rng(1)
    layers = (
        layer("dense_1", rng, 4, 8),
        layer("dense_2", rng, 8, 6),
        layer("output", rng, 6, 3, initial=0.0, spikes="ternary"),
    )
    return SpikingNetwork(layers=layers, steps=32, method="percentile", **options)


def pooled():
    """Return two convolutions, the second after an average pool, and an output."""
    rng = np.random.default_rng(2)
    first, size = convolution((1, 8, 7), (3, 3), stride=(2, 1), padding=(1, 1))
    second, _ = convolution((2, 2, 3), (2, 2), padding=(1, 0))
    second = after_average_pool(second, (2, *size), (2, 2), (2, 2))
    layers = (
        layer("conv_1", rng, 9, 2, gather=first),
        layer("conv_2", rng, 8, 3, gather=second),
        layer("output", rng, 18, 3, initial=0.0, spikes="ternary"),
    )
    return SpikingNetwork(layers=layers, steps=32)


def residual():
    """Return convolutions of which the last adds a branch around the one before."""
    rng = np.random.default_rng(3)
    first, size = convolution((1, 6, 6), (3, 3), padding=(1, 1))
    around = convolution((2, *size), (3, 3), padding=(1, 1))[0].index
    straight = convolution((2, *size), (1, 1))[0].index
    n = 2 * 36
    both = Gather(np.concatenate([around, straight + n], axis=1), 2 * n)
    layers = (
        layer("conv_1", rng, 9, 2, gather=first),
        layer("conv_2", rng, 18, 2, gather=Gather(around, n)),
        layer("conv_3", rng, 20, 2, gather=both, sources=("conv_2", "conv_1")),
        layer("output", rng, n, 3, initial=0.0, spikes="ternary"),
    )
    return SpikingNetwork(layers=layers, steps=32)


NETWORKS = {"dense": dense, "pooled": pooled, "residual": residual}


def written(network, path, **options):
    nir.to_nir(network, path, **options)
    return nir.read(path)


def constant(network, seed=0, n_samples=4, steps=32):
    """Return inputs of the converter's grid, as a sample and as a train of steps."""
    x = np.random.default_rng(seed).integers(0, 2, (n_samples, network.n_inputs)).astype(float)
    return x, np.repeat(x[:, None], steps, axis=1)


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_our_own_dialect_keeps_a_network_to_the_bit(build, tmp_path):
    network = build()
    nir.to_nir(network, tmp_path / "a.nir")
    again = nir.to_network(tmp_path / "a.nir")
    assert (again.steps, again.input_scale, again.method) == (32, 1.0, network.method)
    for a, b in zip(network.layers, again.layers, strict=True):
        assert (a.name, a.initial, a.spikes, a.sources) == (b.name, b.initial, b.spikes, b.sources)
        for name in ("weight", "bias", "threshold"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert (a.gather is None) == (b.gather is None)
        if a.gather is not None:
            np.testing.assert_array_equal(a.gather.index, b.gather.index)


def test_our_own_dialect_keeps_neurons_in_metadata_that_nir_has_no_node_for(tmp_path):
    network = pooled()
    first, second, last = network.layers
    first = replace(first, spikes="signed", slope=np.array([0.0, 0.25]), burst=3)
    network = network.with_layers((first, replace(second, burst=2), last))
    said = "only spikeram reads, that neurons of 'conv_1' take spikes back; .*'conv_2' fire bursts"
    with pytest.warns(nir.NIRAssumption, match=said):
        nir.to_nir(network, tmp_path / "a.nir")
    again = nir.to_network(tmp_path / "a.nir")
    for a, b in zip(network.layers, again.layers, strict=True):
        assert (a.spikes, a.burst) == (b.spikes, b.burst)
        np.testing.assert_array_equal(a.slope, b.slope)
    x, _ = constant(network)
    mine, theirs = (sr.simulate(each, x)["output"] for each in (network, again))
    np.testing.assert_array_equal(mine, theirs)


def test_neurons_that_only_metadata_tell_are_not_run_as_others(tmp_path):
    first, *rest = dense().layers
    network = SpikingNetwork(layers=(replace(first, burst=2), *rest), steps=4)
    with pytest.warns(nir.NIRAssumption, match="fire bursts"):
        graph = nir.to_nir(network, tmp_path / "a.nir")
    with pytest.raises(ConversionError, match="'dense_1_spikes' take spikes back or fire bursts"):
        nir.run(graph, constant(network)[1])


def test_classes_and_origin_come_back(tmp_path):
    nir.to_nir(dense(classes=np.array(["a", "b", "c"]), origin={"of": [1]}), tmp_path / "a.nir")
    again = nir.to_network(tmp_path / "a.nir")
    assert again.classes.tolist() == ["a", "b", "c"]
    assert again.origin == {"of": [1]}


@pytest.mark.filterwarnings("ignore:The network has branches")
@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("dialect", ["spikeram", *PEERS])
def test_a_file_run_as_it_means_fires_the_spikes_of_a_simulation(build, dialect, tmp_path):
    network = build()
    x, train = constant(network)
    names = [layer.name for layer in network.layers[:-1]]
    graph = written(network, tmp_path / "a.nir", dialect=dialect)
    run = nir.run(graph, train, record=[f"{name}_spikes" for name in names])
    recording = sr.simulate(network, x, steps=32)
    spikes = recording.spk.counts()
    for name in names:
        counted = spikes.sel(neuron=spikes["layer"] == name).values
        ours = run.recorded[f"{name}_spikes"].sum(axis=1).reshape(len(x), -1)
        # snnTorch's neurons shrink by 1e-6 in a step: a membrane at the threshold falls below.
        slack = 1 if dialect == "snntorch" else 0
        assert np.abs(ours - counted).max() <= slack


def test_the_current_readout_is_what_membranes_decode_to(tmp_path):
    network = dense()
    x, train = constant(network)
    graph = written(network, tmp_path / "a.nir")
    decoded = sr.simulate(network, x, steps=32)["output"].values[:, -1]
    np.testing.assert_allclose(nir.run(graph, train).counts / 32, decoded, rtol=1e-6, atol=1e-6)


def test_an_input_replaces_the_initial_membrane(tmp_path):
    network = dense()
    _, train = constant(network)
    meant = nir.run(written(network, tmp_path / "a.nir", dialect="sinabs"), train).output
    graph = written(network, tmp_path / "b.nir", dialect="sinabs", start="input")
    kick = np.zeros((*train.shape[:2], 1))
    kick[:, 0] = 1
    empty = Conventions(initial="zero")
    run = nir.run(graph, np.concatenate([train, kick], axis=2), conventions=empty)
    np.testing.assert_array_equal(run.output, meant)


def test_lava_gets_whole_numbers_and_no_biases(tmp_path):
    graph = written(dense(), tmp_path / "a.nir", dialect="lava")
    for name, node in graph.nodes.items():
        if name.endswith("_weight"):
            assert not node.bias.any()
            assert np.array_equal(node.weight, np.rint(node.weight))
            assert np.abs(node.weight).max() == 127
        if name.endswith("_spikes"):
            assert np.array_equal(node.v_threshold, np.rint(node.v_threshold))


def test_biases_of_lava_enter_by_an_input_that_is_always_one(tmp_path):
    network = dense()
    _, train = constant(network)
    graph = written(network, tmp_path / "a.nir", dialect="lava")
    always = np.ones((*train.shape[:2], 1))
    run = nir.run(graph, np.concatenate([train, always], axis=2), record=["dense_1_spikes"])
    meant = nir.run(
        written(network, tmp_path / "b.nir"), train, record=["dense_1_spikes"]
    ).recorded["dense_1_spikes"]
    counts = run.recorded["dense_1_spikes"][:, :, :-1].sum(axis=1)
    # A weight is off by at most half of 1/127 of the largest: with five inputs, 2% of a threshold.
    assert np.abs(counts - meant.sum(axis=1)).max() <= 0.02 * 32 * 5


def test_weights_of_spinnaker2_have_eight_bits(tmp_path):
    graph = written(dense(), tmp_path / "a.nir", dialect="spinnaker2")
    weight = graph.nodes["dense_1_weight"].weight
    assert len(np.unique(np.abs(weight))) <= 128


@pytest.mark.parametrize(
    ("dialect", "kind", "r"),
    [("sinabs", "IF", 1), ("norse", "IF", 1), ("spikingjelly", "IF", 1e4), ("snntorch", "LIF", 1e6),
     ("nengo", "LIF", 1e6)],
)  # fmt: skip
def test_a_dialect_has_its_neurons(dialect, kind, r, tmp_path):
    node = written(dense(), tmp_path / "a.nir", dialect=dialect).nodes["dense_1_spikes"]
    assert type(node).__name__ == kind
    assert np.all(node.r == r)
    assert np.all(node.v_threshold == 1)


@pytest.mark.parametrize("dialect", ["sinabs", "norse", "spikingjelly", "snntorch", "spinnaker2"])
def test_convolutions_stay_convolutions(dialect, tmp_path):
    graph = written(pooled(), tmp_path / "a.nir", dialect=dialect)
    kinds = [type(graph.nodes[f"conv_{n}_weight"]).__name__ for n in (1, 2)]
    assert kinds == ["Conv2d", "Conv2d"]


@pytest.mark.parametrize("dialect", ["lava", "nengo"])
def test_convolutions_become_matrices_where_they_must(dialect, tmp_path):
    graph = written(pooled(), tmp_path / "a.nir", dialect=dialect)
    assert type(graph.nodes["conv_1_weight"]).__name__ == "Affine"


def test_the_parameters_of_a_convolution_are_found_again():
    from spikeram.conversion.nir.lattice import lattice

    options = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    gather, size = convolution((3, 8, 9), (3, 2), **options)
    found = lattice(gather)
    assert found.shape == (3, 8, 9)
    assert (found.size, found.kernel) == (size, (3, 2))
    assert {name: getattr(found, name) for name in options} == options


def test_a_gather_that_is_no_convolution_is_not_taken_for_one():
    from spikeram.conversion.nir.lattice import lattice

    index = convolution((1, 5, 5), (2, 2))[0].index.copy()
    index[3, 2] = 0
    assert lattice(Gather(index, 25)) is None


def test_metadata_say_what_nir_cannot(tmp_path):
    metadata = written(dense(input_scale=2.0), tmp_path / "a.nir", dialect="norse").metadata
    assert metadata["reset"] == "subtract"
    assert metadata["reset_of_reader"] == "v_reset"
    assert metadata["steps"] == 32
    assert metadata["input_scale"] == 2.0
    assert metadata["spikeram_version"]


def test_a_chip_is_written_with_its_programmed_weights(tmp_path):
    network = dense()
    chip = sr.program(network, seed=5)
    x, train = constant(network)
    graph = written(chip, tmp_path / "a.nir")
    run = nir.run(graph, train, record=["dense_1_spikes"])
    recording = sr.simulate(chip, x, steps=32)
    spikes = recording.spk.counts()
    counted = spikes.sel(neuron=spikes["layer"] == "dense_1").values
    # The chip rounds the drive of a step to a whole quantum: less than a spike in 32 steps.
    assert np.abs(run.recorded["dense_1_spikes"].sum(axis=1) - counted).max() <= 1
    trained = written(network, tmp_path / "b.nir").nodes["dense_1_weight"].weight
    assert not np.allclose(
        graph.nodes["dense_1_weight"].weight / graph.nodes["dense_1_spikes"].v_threshold[:, None],
        trained / network.layers[0].threshold[:, None],
        rtol=1e-3,
    )


@pytest.mark.parametrize("dialect", ["sinabs", "spikingjelly", "snntorch"])
def test_a_normalised_file_is_the_network_in_other_units(dialect, tmp_path):
    network = dense()
    nir.to_nir(network, tmp_path / "a.nir", dialect=dialect)
    again = nir.to_network(tmp_path / "a.nir")
    x, _ = constant(network)
    scale = network.layers[-1].threshold
    np.testing.assert_allclose(
        sr.simulate(again, x, steps=32)["output"].values * scale,
        sr.simulate(network, x, steps=32)["output"].values,
        # Biases are whole quanta, of another size here: at most 1/512 of a threshold, which is 2.
        atol=1 / 256,
    )


def chain(*nodes, shape):
    parts = {"in": nir.Input(shape=shape)}
    parts |= {f"n{n}": node for n, node in enumerate(nodes)}
    leaving = nir.NIRGraph(nodes=parts, edges=tuple(zip(parts, list(parts)[1:]))).shapes
    parts["out"] = nir.Output(shape=leaving[list(parts)[-1]])
    return nir.NIRGraph(nodes=parts, edges=tuple(zip(parts, list(parts)[1:])))


SOFT = Conventions(reset="subtract", resistance="per_step", fires="at")


def neurons(*shape):
    return nir.IF(r=np.ones(shape), v_threshold=np.full(shape, 0.5))


IMPORTED = {
    "pools": chain(
        nir.Conv2d(weight=np.full((2, 1, 3, 3), 0.1), bias=[0.0, 0.1], padding=1),
        neurons(2, 4, 6),
        nir.SumPool2d(kernel_size=2, stride=2),
        nir.Conv2d(weight=np.full((2, 2, 1, 1), 0.1), bias=[0.0, 0.0]),
        neurons(2, 2, 3),
        nir.AvgPool2d(kernel_size=(1, 3), stride=1),
        nir.Flatten(start_dim=0),
        nir.Affine(weight=np.arange(12).reshape(3, 4) / 12, bias=np.ones(3) / 8),
        shape=(1, 4, 6),
    ),
    "groups": chain(
        nir.Conv2d(weight=np.full((2, 1, 2, 2), 0.25), bias=[0, 0], groups=2, padding="same"),
        neurons(2, 3, 3),
        nir.Flatten(),
        nir.Scale(scale=np.arange(18) / 16),
        nir.Linear(weight=np.full((2, 18), 0.125)),
        neurons(2),
        shape=(2, 3, 3),
    ),
    "one axis": chain(
        nir.Conv1d(weight=np.full((3, 2, 3), 0.25), bias=[0, 0.125, 0.25], stride=2),
        nir.IF(r=np.ones((3, 3)), v_threshold=np.arange(1.0, 10).reshape(3, 3) / 8),
        nir.Flatten(),
        nir.Linear(weight=np.full((2, 9), 0.125)),
        shape=(2, 7),
    ),
}


@pytest.mark.parametrize("name", list(IMPORTED))
def test_an_imported_network_computes_what_the_graph_does(name):
    graph = IMPORTED[name]
    network = nir.to_network(graph, conventions=SOFT)
    x = np.random.default_rng(0).integers(0, 2, (3, network.n_inputs)).astype(float)
    run = nir.run(graph, np.repeat(x[:, None], 64, axis=1), conventions=SOFT)
    recording = sr.simulate(network, x, steps=64)
    if network.layers[-1].spikes == "ternary":
        ours = recording["output"].values[:, -1]
    else:
        spikes = recording.spk.counts()
        ours = spikes.sel(neuron=spikes["layer"] == network.layers[-1].name).values / 64
    # Weights have 12 bits: each sum is off by less than a percent, and a spike in 64 steps.
    np.testing.assert_allclose(ours, run.counts / 64, atol=0.05, rtol=0.02)


def test_pools_and_convolutions_are_imported_as_gathered_rows():
    network = nir.to_network(IMPORTED["pools"], conventions=SOFT)
    assert [layer.weight.shape for layer in network.layers] == [(9, 2), (2, 2), (4, 3)]


def test_what_fits_no_network_is_all_named():
    one = np.ones(2)
    graph = chain(
        nir.LIF(tau=one, r=one, v_leak=one, v_threshold=one),
        nir.Delay(delay=one),
        nir.IF(r=one, v_threshold=one),
        shape=2,
    )
    given = Conventions(dt=0.5, reset="v_reset", resistance="per_step")
    with pytest.raises(ConversionError) as caught:
        nir.to_network(graph, conventions=given)
    said = str(caught.value)
    assert "'n0' of type LIF leaks 0.5" in said
    assert "'n1' of type Delay has no counterpart" in said
    assert "'n2' of type IF resets to v_reset" in said


def test_a_loop_is_no_network():
    graph = nir.NIRGraph(
        nodes={"in": nir.Input(shape=2), "n": neurons(2), "out": nir.Output(shape=2)},
        edges=(("in", "n"), ("n", "n"), ("n", "out")),
    )
    with pytest.raises(ConversionError, match="'n' is part of a loop"):
        nir.to_network(graph, conventions=SOFT)


def test_what_nir_has_no_node_for_is_named(tmp_path):
    rng = np.random.default_rng(0)
    network = SpikingNetwork(
        layers=(
            layer("a", rng, 2, 2, spikes="signed"),
            layer("b", rng, 2, 2, burst=3),
            layer("c", rng, 2, 2, spikes="ternary"),
        )
    )
    said = "neurons of 'a' take spikes back; neurons of 'b' fire bursts.* save it as .npz"
    with pytest.raises(ConversionError, match=said):
        nir.to_nir(network, tmp_path / "a.nir", dialect="sinabs")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dialect": "loihi"}, "dialect expects one of spikeram, sinabs"),
        ({"readout": "membrane"}, "readout expects"),
        ({"start": "later"}, "start expects"),
    ],
)
def test_unknown_options_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        nir.to_nir(dense(), tmp_path / "a.nir", **options)


def test_a_framework_that_is_not_installed_is_named_so(tmp_path, monkeypatch):
    absent = replace(nir.PEERS["norse"], modules=("not_a_package",))
    # The package's attribute of that name is the function.
    module = sys.modules["spikeram.conversion.nir.verify"]
    monkeypatch.setattr(module, "PEERS", {"norse": absent})
    nir.to_nir(dense(), tmp_path / "a.nir", dialect="norse")
    table = str(nir.verify(tmp_path / "a.nir"))
    assert "not installed: no module not_a_package" in table


def test_verify_refuses_unknown_frameworks(tmp_path):
    nir.to_nir(dense(), tmp_path / "a.nir")
    with pytest.raises(ValueError, match="backends expects some of sinabs, norse"):
        nir.verify(tmp_path / "a.nir", backends=["loihi"])


@pytest.mark.parametrize("dialect", ["sinabs", "norse"])
def test_branches_are_warned_of_where_they_run_wrongly(dialect, tmp_path):
    with pytest.warns(nir.NIRAssumption, match=f"branches, which {dialect} loads without an error"):
        nir.to_nir(residual(), tmp_path / "a.nir", dialect=dialect)


@pytest.mark.parametrize("start", ["metadata", "input"])
@pytest.mark.parametrize(
    ("name", "build"),
    [
        *((name, build) for name in PEERS for build in (dense, pooled)),
        ("spikingjelly", residual),
        ("snntorch", residual),
    ],
)
def test_a_framework_does_what_is_expected_of_it(name, build, start, tmp_path):
    missing = nir.PEERS[name].missing()
    if missing:
        pytest.skip(f"{name} needs {missing}, which is not installed")
    nir.to_nir(build(), tmp_path / "a.nir", dialect=name, start=start)
    (result,) = nir.verify(tmp_path / "a.nir", backends=[name]).peers
    assert result.problem == ""
    np.testing.assert_allclose(result.counts, result.expected, rtol=1e-5, atol=1e-4)
