"""CrossbarSynapses against brian2.Synapses holding the same weights, and against the kernels."""

import logging
import signal
from itertools import pairwise

import brian2 as b2
import numpy as np
import pytest
from brian2 import ms, second, volt
from brian2.core.base import BrianObjectException
from brian2.devices.device import reset_device
from brian2.utils.logger import BrianLogger, catch_logs
from hypothesis import given, settings, strategies as st

from spikeram import brian
from spikeram.brian import CrossbarSynapses, run_network, sampling_neurons
from spikeram.charge import ChargeLayer, charge_layer
from spikeram.conversion import convert
from spikeram.crossbar import Crossbar
from spikeram.errors import SimulationInterrupted, UnitError
from spikeram.gather import convolution
from spikeram.neuron import SamplingNeuron
from spikeram.seeds import Purpose, key
from spikeram.simulation import clocked, simulate
from spikeram.wiring import Wiring

from networks import inputs, random_graph, random_layer, trained


@pytest.fixture(autouse=True)
def brian2_as_new():
    b2.start_scope()
    target, dt = b2.prefs.codegen.target, b2.defaultclock.dt
    b2.prefs.codegen.target = "numpy"
    yield
    b2.prefs.codegen.target = target
    b2.defaultclock.dt = dt


@pytest.fixture
def standalone():
    b2.set_device("cpp_standalone", build_on_run=False)
    device = b2.get_device()
    yield device
    reset_device("runtime")
    device.reinit()


def make_layer(rng, n_inputs, n_outputs, **options):
    options = {"rail": 2**30, "quantum": 2.0**-20} | options
    return ChargeLayer(
        name=f"layer_{rng.integers(10**9)}",
        weight=rng.integers(-2047, 2048, (n_inputs, n_outputs)).astype(np.int16),
        bias=rng.integers(-800, 800, n_outputs).astype(np.int32),
        threshold=rng.integers(1, 5000, n_outputs).astype(np.int32),
        initial=rng.integers(-3000, 3000, n_outputs).astype(np.int32),
        scale=np.ones(n_outputs),
        **options,
    )


LAYER = make_layer(np.random.default_rng(0), 6, 4)


def plain_synapses(source, target, layer, batch=1, sign=1, *, on="charge", delay=0 * ms):
    """The oracle: Brian2's own Synapses, with each weight in volts."""
    pathways = {"pre": ("spike", "+=")}
    if "_negative_spikespace" in source.variables:
        pathways["minus"] = ("negative_spike", "-=")
    each = "*abs(burst_size_pre)" if "burst_size" in source.variables else ""
    synapses = b2.Synapses(
        source,
        target,
        "w : volt",
        on_pre={name: f"{on}_post {adds} w{each}" for name, (_, adds) in pathways.items()},
        on_event={name: event for name, (event, _) in pathways.items()},
        delay=dict.fromkeys(pathways, delay),
    )
    weight = np.kron(np.eye(batch), layer.weight)
    i, j = np.nonzero(np.kron(np.eye(batch), np.ones(layer.weight.shape)))
    synapses.connect(i=i, j=j)
    synapses.w = sign * weight[i, j] * layer.quantum * volt
    return synapses


def integrators(n, **options):
    """Neurons whose every operation on multiples of a power of two is exact."""
    options = {"threshold": "v > 2**-10*volt", "reset": "v = 0*volt"} | options
    return b2.NeuronGroup(n, options.pop("model", "v : volt"), **options)


class Twins:
    """Two equal groups with one source: one behind a crossbar, the other behind Synapses."""

    def __init__(self, source, layer=LAYER, make=integrators, batch=1, delay=None, **options):
        self.groups = [make(batch * layer.n_outputs, **options) for _ in range(2)]
        self.crossbar = CrossbarSynapses(
            source, self.groups[0], layer, batch=batch, delay=delay, on="v"
        )
        self.dense = plain_synapses(
            source, self.groups[1], layer.unrolled, batch, on="v", delay=delay or 0 * ms
        )
        self.spikes = [b2.SpikeMonitor(group) for group in self.groups]
        self.traces = [b2.StateMonitor(group, "v", record=True) for group in self.groups]
        self.objects = [self.crossbar, self.dense, *self.groups, *self.spikes, *self.traces]

    def agree(self):
        mine, theirs = self.spikes
        assert mine.num_spikes > 0
        np.testing.assert_array_equal(mine.i, theirs.i)
        np.testing.assert_array_equal(mine.t_, theirs.t_)
        np.testing.assert_array_equal(self.traces[0].v_, self.traces[1].v_)
        return True


def random_spikes(n, seed=1, duration=20, dt=1.0):
    rng = np.random.default_rng(seed)
    k, i = np.nonzero(rng.random((duration, n)) < 0.3)
    return b2.SpikeGeneratorGroup(n, i, k * dt * ms)


def ms_clock():
    b2.defaultclock.dt = 1 * ms


# Agreement to the bit


@st.composite
def networks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(1, 12), min_size=2, max_size=4))
    layers = [
        make_layer(
            rng,
            *pair,
            rail=draw(st.sampled_from([2**30, 3000])),
            quantum=2.0 ** -draw(st.integers(10, 24)),
            spikes=draw(st.sampled_from(["unipolar", "ternary"])),
            reset=draw(st.sampled_from(["subtract", "zero"])),
            decay=draw(st.sampled_from([1.0, 1.0, 0.75])),
            sigma_noise=draw(st.sampled_from([0.0, 0.0, 200.0])),
            kick=draw(st.sampled_from([0, 0, 150])),
        )
        for pair in pairwise(sizes)
    ]
    return rng, layers, draw(st.booleans()), draw(st.integers(1, 10))


def random_input(rng, layers, spiking, batch, steps):
    if spiking:
        return None, rng.integers(-1, 2, (batch, steps, layers[0].n_inputs)).astype(np.int8)
    drive = rng.integers(-3000, 3000, (batch, layers[0].n_outputs)).astype(np.int32)
    return {layers[0].name: drive}, None


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 32])
@settings(max_examples=50, deadline=None)
@given(network=networks())
def test_crossbars_synapses_and_kernels_fire_the_same_spikes(network, batch):
    rng, layers, spiking, steps = network
    drive, spikes = random_input(rng, layers, spiking, batch, steps)
    options = {
        "steps": steps,
        "first_sample": 5,
        "keys": [np.uint64(n + 1) for n in range(len(layers))],
    }
    oracle = clocked(layers, drive, spikes, **options)
    for connect in (None, plain_synapses):
        found = run_network(layers, drive, spikes, **options, connect=connect)
        for mine, theirs in zip(found.spikes, oracle.spikes, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(found.membrane, oracle.membrane)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_nodes=st.integers(1, 6),
    current=st.booleans(),
    noisy=st.booleans(),
    bursts=st.booleans(),
)
def test_graphs_fire_the_spikes_of_the_clocked_engine(seed, n_nodes, current, noisy, bursts):
    rng = np.random.default_rng(seed)
    nodes, drive = random_graph(rng, n_nodes, current=current, noisy=noisy, bursts=bursts)
    options = {"steps": 7, "first_sample": 3, "keys": [np.uint64(n) for n in range(n_nodes)]}
    n_inputs = Wiring(nodes).widths["input"]
    stimulus = (
        (drive, None) if current else (None, rng.integers(-1, 2, (2, 7, n_inputs)).astype(np.int8))
    )
    options["keys"] = options["keys"][: len(Wiring(nodes).layers)]
    oracle = clocked(nodes, *stimulus, **options)
    found = run_network(nodes, *stimulus, **options)
    for mine, theirs in zip(found.spikes, oracle.spikes, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(found.membrane, oracle.membrane)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["unipolar", "ternary", "signed"]))
def test_bursts_reach_crossbars_and_plain_synapses_alike(seed, kind):
    rng = np.random.default_rng(seed)
    layers = [
        random_layer(rng, *pair, spikes=kind, burst=int(rng.integers(1, 6)))
        for pair in ((4, 6), (6, 3), (3, 2))
    ]
    drive, spikes = random_input(rng, layers, False, 2, 8)
    oracle = clocked(layers, drive, spikes, steps=8)
    for connect in (None, plain_synapses):
        found = run_network(layers, drive, spikes, steps=8, connect=connect)
        for mine, theirs in zip(found.spikes, oracle.spikes, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        np.testing.assert_array_equal(found.membrane, oracle.membrane)


def test_running_a_network_leaves_brian2_as_it_was():
    before = b2.prefs.as_file, b2.defaultclock.dt_, b2.get_device()
    rng = np.random.default_rng(2)
    run_network([LAYER], *random_input(rng, [LAYER], True, 2, 4), steps=4)
    assert (b2.prefs.as_file, b2.defaultclock.dt_, b2.get_device()) == before


# Ctrl-C


@pytest.fixture
def ctrl_c():
    """Press it, for real, where Brian2's handler stands before Python's own."""
    before = signal.getsignal(signal.SIGINT)
    handler = b2._InterruptHandler(signal.default_int_handler)
    signal.signal(signal.SIGINT, handler)
    with catch_logs():
        yield lambda: signal.raise_signal(signal.SIGINT)
    after = signal.signal(signal.SIGINT, before)
    assert after is handler


def at_step(step, action):
    """Return what joins two groups by nothing but an action in one step."""

    def connect(source, *_, **__):
        def act(t):
            if round(t / source.clock.dt) == step:
                action()

        return b2.NetworkOperation(act, clock=source.clock)

    return connect


# Of one sign, so that two groups are joined once: a second Ctrl-C would be passed on by Brian2.
SPIKES = None, np.random.default_rng(11).integers(0, 2, (2, 6, 6)).astype(np.int8)


@pytest.mark.parametrize("step", [0, 3, 6])
def test_ctrl_c_at_any_step_interrupts_the_engine(ctrl_c, step):
    with pytest.raises(KeyboardInterrupt):
        run_network([LAYER], *SPIKES, steps=6, connect=at_step(step, ctrl_c))


def test_an_interruption_stops_no_later_run(ctrl_c):
    with pytest.raises(KeyboardInterrupt):
        run_network([LAYER], *SPIKES, steps=6, connect=at_step(2, ctrl_c))
    found = run_network([LAYER], *SPIKES, steps=6)
    np.testing.assert_array_equal(found.membrane, clocked([LAYER], *SPIKES, steps=6).membrane)


def test_after_a_run_that_failed_ctrl_c_interrupts_as_ever(ctrl_c):
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_network([LAYER], *SPIKES, steps=6, connect=at_step(2, fail))
    with pytest.raises(KeyboardInterrupt):
        ctrl_c()


def test_ctrl_c_in_the_second_batch_keeps_the_first(ctrl_c, monkeypatch):
    x = inputs(0, 70)
    network = convert(trained(), x, steps=4)

    def press_in_the_next_run(*_):
        monkeypatch.setattr(brian, "_open", lambda *_: ctrl_c())

    with pytest.raises(SimulationInterrupted) as caught:
        simulate(network, x, engine="brian2", progress=press_in_the_next_run)
    part, whole = caught.value.recording, simulate(network, x)
    assert part.sizes["trial"] == 64
    np.testing.assert_array_equal(part["row_size"], whole["row_size"][:64])
    np.testing.assert_array_equal(part["output"], whole["output"][:64])


@pytest.mark.slow
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_compiled_neurons_fire_the_spikes_of_the_kernels(reset):
    b2.prefs.codegen.target = "cython"
    ms_clock()
    rng = np.random.default_rng(3)
    layer = make_layer(rng, 6, 8, spikes="ternary", reset=reset, decay=0.75)
    _, spikes = random_input(rng, [layer], True, 1, 30)
    oracle = clocked([layer], None, spikes, steps=30)
    k, i = np.nonzero(spikes[0] > 0)
    k_minus, i_minus = np.nonzero(spikes[0] < 0)
    plus = b2.SpikeGeneratorGroup(6, i, k * ms)
    minus = b2.SpikeGeneratorGroup(6, i_minus, k_minus * ms)
    neurons = sampling_neurons(8, layer)
    # Without input, a step before the first spikes arrive must leave the membrane as it was.
    neurons.active = False
    synapses = [
        CrossbarSynapses(plus, neurons, layer),
        CrossbarSynapses(minus, neurons, layer, sign=-1),
    ]
    up, down = b2.SpikeMonitor(neurons), b2.EventMonitor(neurons, "negative_spike")
    network = b2.Network(plus, minus, neurons, *synapses, up, down)
    network.run(1 * ms)
    neurons.active = True
    network.run(30 * ms)
    found = np.zeros((30, 8), np.int8)
    found[np.rint(up.t / ms).astype(int) - 1, up.i] = 1
    found[np.rint(down.t / ms).astype(int) - 1, down.i] = -1
    np.testing.assert_array_equal(found, oracle.spikes[0][0])


# What a Brian2 user expects of Synapses


def test_a_poisson_group_drives_a_crossbar_as_it_drives_synapses():
    b2.seed(4)
    source = b2.PoissonGroup(6, 2000 * b2.Hz)
    twins = Twins(source)
    b2.Network(source, twins.objects).run(20 * ms)
    assert twins.agree()


def test_a_spike_generator_drives_a_crossbar_as_it_drives_synapses():
    source = random_spikes(6)
    twins = Twins(source)
    b2.Network(source, twins.objects).run(20 * ms)
    assert twins.agree()


def test_unordered_spikes_within_one_step_are_all_delivered():
    # The generator orders by time: within this step, neuron 5 comes before neuron 0.
    source = b2.SpikeGeneratorGroup(6, [5, 3, 0], [0.01, 0.04, 0.09] * ms)
    twins = Twins(source, threshold="v > -1*volt")
    b2.Network(source, twins.objects).run(1 * ms)
    assert twins.agree()


def test_a_neuron_group_with_its_own_equations_works_on_both_sides():
    source = b2.NeuronGroup(
        6, "dx/dt = (1.5 + 0.1*i - x)/(5*ms) : 1", threshold="x > 1", reset="x = 0", method="exact"
    )
    twins = Twins(source, model="dv/dt = -v/(10*ms) : volt", method="euler")
    network = b2.Network(source, twins.objects)
    network.run(50 * ms)
    # The leak multiplies, so that the order of additions shows in the last bits.
    np.testing.assert_allclose(twins.traces[0].v_, twins.traces[1].v_, rtol=1e-12, atol=1e-15)


def test_subgroups_are_sources_and_targets():
    source, target = b2.PoissonGroup(20, 500 * b2.Hz), integrators(10)
    crossbar = CrossbarSynapses(source[3:9], target[5:9], LAYER)
    twin = integrators(10)
    dense = plain_synapses(source[3:9], twin[5:9], LAYER, on="v")
    b2.Network(source, target, twin, crossbar, dense).run(20 * ms)
    assert np.any(target.v_[5:9] != 0)
    np.testing.assert_array_equal(target.v_, twin.v_)


def test_a_magic_network_finds_the_crossbar():
    source, target = random_spikes(6), integrators(4, threshold=None, reset=None)
    crossbar = CrossbarSynapses(source, target, LAYER)
    b2.run(20 * ms)
    assert crossbar.active
    counts = np.bincount(source._neuron_index, minlength=6)
    np.testing.assert_array_equal(target.v_, counts @ LAYER.weight * LAYER.quantum)


def test_a_network_without_the_source_is_refused():
    source, target = random_spikes(6), integrators(4)
    network = b2.Network(target, CrossbarSynapses(source, target, LAYER))
    with pytest.raises(ValueError, match="depends"):
        network.run(1 * ms)
    b2.Network(source).run(0 * ms)


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.35, 2.0, 2.04, 2.06])
def test_a_delay_is_that_of_synapses(delay):
    source = random_spikes(6)
    twins = Twins(source, delay=delay * ms)
    b2.Network(source, twins.objects).run(25 * ms)
    assert twins.agree()


def test_a_delay_outlives_a_change_of_dt():
    b2.defaultclock.dt = 0.5 * ms
    source = random_spikes(6)
    twins = Twins(source, delay=5 * ms)
    network = b2.Network(source, twins.objects)
    network.run(10 * ms)
    b2.defaultclock.dt = 0.1 * ms
    network.run(20 * ms)
    assert twins.agree()


def test_a_coarser_dt_loses_no_spike_under_way():
    # Several steps of before fall into one; Brian2's queue keeps only the last of them.
    source = b2.SpikeGeneratorGroup(6, np.arange(6), np.arange(6) * 0.1 * ms)
    target = integrators(4, threshold=None, reset=None)
    network = b2.Network(source, target, CrossbarSynapses(source, target, LAYER, delay=3 * ms))
    network.run(1 * ms)
    assert np.all(target.v_ == 0)
    b2.defaultclock.dt = 0.5 * ms
    network.run(4 * ms)
    np.testing.assert_array_equal(target.v_, LAYER.weight.sum(axis=0) * LAYER.quantum)


def test_an_inactive_crossbar_holds_its_spikes_back_as_synapses_do():
    source = random_spikes(6)
    twins = Twins(source, delay=5 * ms)
    network = b2.Network(source, twins.objects)
    for active in (True, False, True):
        twins.crossbar.active = twins.dense.active = active
        network.run(8 * ms)
    assert twins.agree()


def test_several_crossbars_add_up_in_one_group():
    layers = [make_layer(np.random.default_rng(n), 6, 4) for n in range(3)]
    sources = [random_spikes(6, seed=n) for n in range(3)]
    target, twin = integrators(4), integrators(4)
    pairs = list(zip(sources, layers, strict=True))
    crossbars = [CrossbarSynapses(source, target, layer) for source, layer in pairs]
    dense = [plain_synapses(source, twin, layer, on="v") for source, layer in pairs]
    spikes = [b2.SpikeMonitor(target), b2.SpikeMonitor(twin)]
    b2.Network(sources, target, twin, crossbars, dense, spikes).run(20 * ms)
    assert spikes[0].num_spikes > 0
    np.testing.assert_array_equal(spikes[0].i, spikes[1].i)
    np.testing.assert_array_equal(spikes[0].t_, spikes[1].t_)


@pytest.mark.parametrize("dt", [0.05, 0.2, 0.3])
def test_source_and_target_may_have_different_clocks(monkeypatch, dt):
    monkeypatch.setattr(BrianLogger, "_log_messages", set())
    rng = np.random.default_rng(7)
    k, i = np.nonzero(rng.random((200, 6)) < 0.1)
    source = b2.SpikeGeneratorGroup(6, i, k * 0.1 * ms, dt=0.1 * ms)
    twins = Twins(source, delay=0.5 * ms, dt=dt * ms)
    with catch_logs() as logs:
        b2.Network(source, twins.objects).run(20 * ms)
    assert {name for _, name, _ in logs} == {
        "brian2.spikeram.synapses_dt_mismatch",
        "brian2.synapses.synapses.synapses_dt_mismatch",
    }
    assert twins.agree()


@pytest.mark.parametrize("to_file", [False, True])
def test_store_and_restore_keep_the_spikes_under_way(tmp_path, to_file):
    source = random_spikes(6)
    twins = Twins(source, delay=4 * ms)
    network = b2.Network(source, twins.objects)
    where = {"filename": str(tmp_path / "state")} if to_file else {}
    network.run(10 * ms)
    assert twins.crossbar._pending
    network.store("half", **where)
    network.run(15 * ms)
    first = twins.groups[0].v_[:].copy()
    network.restore("half", **where)
    network.run(15 * ms)
    np.testing.assert_array_equal(twins.groups[0].v_, first)
    assert twins.agree()


def test_run_reports_its_progress():
    source, target = random_spikes(6), integrators(4)
    network = b2.Network(source, target, CrossbarSynapses(source, target, LAYER))
    seen = []
    network.run(5 * ms, report=lambda elapsed, completed, start, duration: seen.append(completed))
    assert (seen[0], seen[-1]) == (0.0, 1.0)


def test_profiling_names_the_crossbar():
    source, target = random_spikes(6), integrators(4)
    crossbar = CrossbarSynapses(source, target, LAYER, name="first_layer")
    network = b2.Network(source, target, crossbar)
    network.run(5 * ms, profile=True)
    assert "first_layer" in str(b2.profiling_summary(network))
    assert "first_layer" in str(network.scheduling_summary())


def test_a_refractory_neuron_takes_no_charge():
    source = random_spikes(6, duration=200, dt=0.1)
    twins = Twins(
        source, model="dv/dt = 0*volt/second : volt (unless refractory)",
        refractory=1 * ms, method="euler",
    )  # fmt: skip
    b2.Network(source, twins.objects).run(20 * ms)
    assert twins.agree()


def test_the_transposed_crossbar_drives_backwards():
    rng = np.random.default_rng(8)
    crossbar = Crossbar.from_weights(rng.normal(size=(6, 4)))
    source = random_spikes(4)
    twins = Twins(source, layer=crossbar.T.charge(), threshold="v > 2**-12*volt")
    target = integrators(6, threshold="v > 2**-12*volt")
    direct = CrossbarSynapses(source, target, crossbar.T)
    b2.Network(source, target, direct, twins.objects).run(20 * ms)
    assert twins.agree()
    np.testing.assert_array_equal(target.v_, twins.groups[1].v_)


def test_a_convolution_drives_as_its_unrolled_weights_do():
    rng = np.random.default_rng(12)
    gather, _ = convolution((1, 2, 3), (2, 2))
    layer = charge_layer(
        "convolution", rng.normal(0, 2**-10, (4, 3)), gather=gather, neuron=SamplingNeuron(),
        bias=np.zeros(3), threshold=np.ones(3), initial=np.zeros(3), scale=np.ones(3),
    )  # fmt: skip
    source = random_spikes(6)
    twins = Twins(source, layer=layer)
    b2.Network(source, twins.objects).run(20 * ms)
    assert twins.agree()


def test_a_batch_shares_one_crossbar():
    batch = 16
    source, target = random_spikes(6 * batch), integrators(4 * batch)
    synapses = CrossbarSynapses(source, target, LAYER, batch=batch)
    b2.Network(source, target, synapses).run(0 * ms)
    assert np.shares_memory(synapses.weight, LAYER.weight)


def test_samples_of_a_batch_are_independent():
    source = random_spikes(6 * 5)
    twins = Twins(source, batch=5)
    b2.Network(source, twins.objects).run(20 * ms)
    assert twins.agree()


def test_negative_spikes_take_charge_away():
    ms_clock()
    rng = np.random.default_rng(9)
    first = make_layer(rng, 3, 6, spikes="ternary")
    neurons = sampling_neurons(6, first)
    twins = Twins(neurons, delay=2 * ms)
    minus = b2.EventMonitor(neurons, "negative_spike")
    b2.Network(neurons, twins.objects, minus).run(50 * ms)
    assert len(minus.i) > 0
    assert twins.agree()


def test_single_precision_targets_are_served_too():
    # 24 bits of mantissa hold what a few rows of 12-bit weights add up to.
    source = random_spikes(6)
    twins = Twins(source, dtype=np.float32)
    b2.Network(source, twins.objects).run(20 * ms)
    assert twins.agree()


# Sampling neurons


def test_a_sampling_neuron_fires_at_its_rate():
    ms_clock()
    # A quarter of a threshold in each step is a spike in every fourth.
    neurons = sampling_neurons(2, SamplingNeuron(threshold=2**-6), clock=b2.defaultclock)
    neurons.drive = 2**-8 * volt
    spikes = b2.SpikeMonitor(neurons)
    b2.Network(neurons, spikes).run(40 * ms)
    np.testing.assert_array_equal(spikes.count, [10, 10])


def test_a_leak_is_that_of_the_groups_own_step():
    neuron = SamplingNeuron(leak=2e-3, threshold=0.5)
    neurons = sampling_neurons(1, neuron, dt=1 * ms)
    neurons.v = 0.25 * volt
    b2.Network(neurons).run(2 * ms)
    # Rounded to quanta of 2**-22 V in each of two steps.
    assert neurons.v_[0] == pytest.approx(0.25 * np.exp(-1), abs=2.0**-22)


def test_noise_needs_a_seed():
    with pytest.raises(ValueError, match="give a seed"):
        sampling_neurons(3, SamplingNeuron(temperature=300))


def test_the_seed_alone_decides_the_noise():
    traces = []
    for seed in (1, 1, 2):
        neurons = sampling_neurons(3, SamplingNeuron(temperature=300), seed=seed)
        trace = b2.StateMonitor(neurons, "v", record=True)
        b2.Network(neurons, trace).run(2 * ms)
        traces.append(trace.v_[:].copy())
    np.testing.assert_array_equal(traces[0], traces[1])
    assert np.any(traces[0] != traces[2])


def drawn(seed, address, steps=2000):
    """Return what a noisy neuron draws, of shape (step,) [V]."""
    neurons = sampling_neurons(1, SamplingNeuron(temperature=300), seed=seed, address=address)
    trace = b2.StateMonitor(neurons, "noise", record=True, when="end")
    b2.Network(neurons, trace).run(steps * b2.defaultclock.dt)
    return trace.noise_[0].copy()


def test_noise_of_different_addresses_is_independent():
    traces = [drawn(1, address) for address in ((), (0,), (0, 0), (0, 1), (1, 0))]
    correlation = np.corrcoef(traces) - np.eye(len(traces))
    # The standard error of a correlation of n independent pairs is 1 / sqrt(n); allow five.
    assert np.abs(correlation).max() < 5 / np.sqrt(2000)


def test_groups_of_one_seed_and_address_draw_the_same_noise():
    np.testing.assert_array_equal(drawn(1, (0, 1), 20), drawn(1, (0, 1), 20))


def test_an_address_repeats_the_noise_of_a_simulated_layer():
    ms_clock()
    rng = np.random.default_rng(13)
    layer = make_layer(rng, 6, 8, spikes="ternary", decay=0.9, sigma_noise=2000.0, kick=500)
    drive, _ = random_input(rng, [layer], False, 3, 30)
    keys = [key(5, Purpose.NEURON_NOISE, 0, 2)]
    oracle = clocked([layer], drive, None, steps=30, keys=keys)
    neurons = sampling_neurons(3 * 8, layer, seed=5, address=(0, 2))
    neurons.drive_ = neurons.drive_ + drive[layer.name].ravel() * layer.quantum
    trace = b2.StateMonitor(neurons, "v", record=True, when="end")
    b2.Network(neurons, trace).run(30 * ms)
    found = trace.v_.reshape(3, 8, 30).transpose(0, 2, 1) / layer.quantum
    np.testing.assert_array_equal(found, oracle.membrane)


@pytest.mark.parametrize("address", [(-1,), (0.5,), (True,), 3])
def test_an_address_is_a_tuple_of_integers(address):
    with pytest.raises(ValueError, match="address expects a tuple of integers >= 0, got"):
        sampling_neurons(3, SamplingNeuron(temperature=300), seed=1, address=address)


# Devices and targets


@pytest.mark.slow
def test_a_standalone_program_fires_the_same_spikes(standalone, tmp_path):
    rng = np.random.default_rng(10)
    layers = [
        make_layer(rng, 5, 6, spikes="ternary", decay=0.75),
        make_layer(rng, 6, 4, reset="zero"),
    ]

    def build():
        source = random_spikes(2 * 5)
        groups = [sampling_neurons(2 * layer.n_outputs, layer) for layer in layers]
        synapses = [
            CrossbarSynapses(source, groups[0], layers[0], batch=2, delay=3 * ms),
            CrossbarSynapses(*groups, layers[1], batch=2),
        ]
        spikes = b2.SpikeMonitor(groups[1])
        return b2.Network(source, groups, synapses, spikes), spikes

    network, spikes = build()
    network.run(30 * ms)
    standalone.build(directory=str(tmp_path), run=True)
    there = np.array(spikes.i), np.array(spikes.t_)
    reset_device("runtime")
    network, spikes = build()
    network.run(30 * ms)
    assert there[0].size > 0
    np.testing.assert_array_equal(there[0], np.array(spikes.i))
    np.testing.assert_allclose(there[1], np.array(spikes.t_), rtol=1e-12)


def test_standalone_noise_is_refused(standalone):
    with pytest.raises(NotImplementedError, match=r"noise .* CPPStandaloneDevice .* temperature"):
        sampling_neurons(3, SamplingNeuron(temperature=300), seed=1)


def test_the_engine_refuses_a_standalone_device(standalone):
    with pytest.raises(NotImplementedError, match="set_device"):
        run_network([LAYER], {LAYER.name: np.zeros((1, 4), np.int32)}, None, steps=1)


def test_a_crossbar_made_for_another_device_is_refused():
    source, target = random_spikes(6), integrators(4)
    crossbar = CrossbarSynapses(source, target, LAYER)
    network = b2.Network(source, target, crossbar)
    own, crossbar._device = crossbar._device, object()
    with pytest.raises(BrianObjectException) as caught:
        network.run(1 * ms)
    crossbar._device = own
    network.run(1 * ms)
    assert "Call brian2.set_device before" in str(caught.value.__cause__)


def test_without_a_compiler_it_says_once_what_one_would_give(monkeypatch):
    monkeypatch.setattr(brian, "_compiled", lambda: False)
    monkeypatch.setattr(BrianLogger, "_log_messages", set())
    source, target = random_spikes(6), integrators(4)
    network = b2.Network(source, target, CrossbarSynapses(source, target, LAYER))
    with catch_logs(log_level=logging.INFO) as logs:
        network.run(1 * ms)
        network.run(1 * ms)
    said = [message for _, name, message in logs if name == "brian2.spikeram.no_compiler"]
    assert len(said) == 1
    assert "g++" in said[0]


def test_whoever_chose_the_numpy_target_is_not_told_about_compilers():
    assert brian._compiled()


# Errors


def make(**changes):
    arguments = {"source": random_spikes(6), "target": integrators(4), "crossbar": LAYER} | changes
    return CrossbarSynapses(
        arguments.pop("source"), arguments.pop("target"), arguments.pop("crossbar"), **arguments
    )


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (lambda: {"source": random_spikes(5)}, ValueError, "source of 6 inputs, got 5"),
        (lambda: {"batch": 2}, ValueError, r"source of 2 x 6 = 12 inputs, got 6"),
        (lambda: {"target": integrators(5)}, ValueError, "target of 4 outputs, got 5"),
        (lambda: {"batch": 0}, ValueError, "batch expects an integer >= 1, got 0"),
        (lambda: {"batch": True}, ValueError, "batch expects an integer >= 1, got True"),
        (lambda: {"sign": 2}, ValueError, "sign expects 1 or -1, got 2"),
        (lambda: {"on": "u"}, ValueError, "no variable 'u' .* on='...'"),
        (lambda: {"crossbar": np.eye(6)}, TypeError, "Crossbar or a ChargeLayer, got ndarray"),
        (lambda: {"delay": -1 * ms}, ValueError, "time >= 0 s, got -0.001 s"),
        (lambda: {"delay": [1, 2] * ms}, ValueError, "one delay for all synapses, got 2"),
        (lambda: {"delay": 1 * volt}, UnitError, "delay is a time in s"),
        (
            lambda: {"source": integrators(6, threshold=None, reset=None)},
            TypeError,
            "source with spikes, .* threshold",
        ),
        (
            lambda: {"target": integrators(4, model="v : 1", threshold="v > 1", reset="v = 0")},
            ValueError,
            "adds volts, .* 'v : volt'",
        ),
        (
            lambda: {"target": integrators(4, model="v : volt (shared)")},
            TypeError,
            "shared, linked, read-only or a subexpression",
        ),
        (
            lambda: {
                "target": integrators(4, model="u : volt\nv = 2*u : volt", reset="u = 0*volt")
            },
            TypeError,
            "shared, linked, read-only or a subexpression",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(changes, error, message):
    # Groups that never run are reported by Brian2 when they are deleted.
    with catch_logs(), pytest.raises(error, match=message):
        make(**changes())


def test_sampling_neurons_come_in_whole_samples():
    with pytest.raises(ValueError, match="multiple of the 4 neurons of the layer, got 6"):
        sampling_neurons(6, LAYER)


def test_sampling_neurons_need_parameters():
    with pytest.raises(TypeError, match="SamplingNeuron or a ChargeLayer"):
        sampling_neurons(6, "ideal")


@pytest.mark.parametrize("both", [False, True])
def test_the_engine_takes_drive_or_spikes(both):
    drive = {LAYER.name: np.zeros((1, 4), np.int32)} if both else None
    spikes = np.zeros((1, 2, 6), np.int8) if both else None
    with pytest.raises(ValueError, match="got both or neither"):
        run_network([LAYER], drive, spikes, steps=2)


def test_delays_are_quantities():
    crossbar = make(delay="2 ms")
    assert crossbar.delay == 2e-3 * second
    b2.Network(crossbar.source, crossbar.target, crossbar).run(0 * ms)
