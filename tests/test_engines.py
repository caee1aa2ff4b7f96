from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from spikeram import registry
from spikeram.clocked import BATCH_BYTES, SAMPLES_AT_A_TIME, Clocked
from spikeram.engines import OneByOne, check_same_network
from spikeram.errors import CapacityError, EngineError
from spikeram.memory import check_memory
from spikeram.network import Layer, SpikingNetwork
from spikeram.simulation import simulate, simulate_chips

from engine_cases import CASES, STEPS, arrays, run
from networks import branching, random_layer

ROOT = Path(__file__).parents[1]


def one_by_one(name):
    return OneByOne(registry.lookup("engines", name), SAMPLES_AT_A_TIME, BATCH_BYTES)


WAYS = {
    "1 thread": (lambda: Clocked(1), {}),
    "2 threads": (lambda: Clocked(2), {}),
    "5 threads": (lambda: Clocked(5), {}),
    "sample by sample": (Clocked, {"cut": 1}),
    "step by step": (Clocked, {"pieces": (1,) * STEPS}),
    "brian2": (lambda: one_by_one("brian2"), {}),
    "event": (lambda: one_by_one("event"), {}),
}

EVERY_STEP = {
    "alike", "converter", "fluctuating", "leaky", "noisy", "noisy constant current", "residual",
}  # fmt: skip
"""Cases in which something happens in every step, which the event engine refuses."""


@pytest.fixture(scope="session")
def on_gpu(tmp_path_factory):
    """What the CUDA engine does with each case, on a GPU or in Numba's simulator."""
    path = tmp_path_factory.mktemp("cuda") / "activity.npz"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    if not gpu_there():
        environment["NUMBA_ENABLE_CUDASIM"] = "1"
    program = [sys.executable, str(ROOT / "tests" / "engine_cases.py"), str(path)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    with np.load(path) as found:
        return dict(found)


def gpu_there():
    from spikeram._kernels import cuda_device

    return cuda_device.is_available()


@pytest.fixture(scope="module")
def expected():
    """What each chip does alone, in one piece, on one thread: the engine of the plain twin."""
    return {name: arrays(run(one_by_one("clocked"), case)) for name, case in CASES.items()}


@pytest.mark.parametrize("way", [*WAYS, "cuda"])
@pytest.mark.parametrize("name", CASES)
def test_spikes_are_the_same_to_the_bit_on_every_engine(name, way, expected, request):
    if way == "cuda":
        found = cuda_results(request, name)
    else:
        engine, options = WAYS[way]
        if way == "event" and name in EVERY_STEP:
            with pytest.raises(ValueError, match="engine='clocked'"):
                run(engine(), CASES[name], **options)
            return
        found = arrays(run(engine(), CASES[name], **options))
    assert found.keys() == expected[name].keys()
    for key, array in expected[name].items():
        np.testing.assert_array_equal(found[key], array)


def cuda_results(request, name):
    everything = request.getfixturevalue("on_gpu")
    found = {key.removeprefix(f"{name}/"): array for key, array in everything.items()
             if key.startswith(f"{name}/")}  # fmt: skip
    return found


@pytest.mark.parametrize("name", ["noisy", "fluctuating"])
def test_draws_that_a_gpu_cannot_round_for_sure_are_the_processors(name, expected, request):
    found = cuda_results(request, f"{name}, unsure")
    for key, array in expected[name].items():
        np.testing.assert_array_equal(found[key], array)


def test_the_cases_fire_and_their_chips_differ():
    for name, case in CASES.items():
        found = run(Clocked(1), case)
        assert all(np.any(activity.spikes[0]) for activity in found), name
        if len(found) > 1:
            assert not np.array_equal(found[0].membrane, found[1].membrane), name


@pytest.mark.parametrize("encoding", ["current", "rate", "poisson", "ttfs"])
@pytest.mark.parametrize("decoding", ["membrane", "first"])
def test_counts_are_those_of_the_spikes_though_time_is_cut(encoding, decoding):
    network = branching()
    rng = np.random.default_rng(1)
    x = rng.random((2, 72))
    if encoding == "current":
        # The pool of this network is not the first node, so that a constant input is welcome.
        x = 2 * x - 1
    options = {"steps": 150, "encoding": encoding, "decoding": decoding, "seed": 3}
    whole = simulate(network, x, **options)
    counts = simulate(network, x, record="counts", outputs_at=[64, 65, 100], **options)
    for name in ("row_size", "active_rows", "active_steps"):
        np.testing.assert_array_equal(counts[name], whole[name])
    assert counts["step"].values.tolist() == [64, 65, 100, 150]
    np.testing.assert_array_equal(counts["output"], whole["output"].sel(step=counts["step"]))
    assert counts.attrs["provenance"] == whole.attrs["provenance"]


def wide(n_hidden=200):
    rng = np.random.default_rng(0)
    layers = [
        Layer(name=name, weight=rng.normal(0, 0.3, size), bias=np.zeros(size[1]),
              threshold=np.ones(size[1]))
        for name, size in (("hidden", (20, n_hidden)), ("output", (n_hidden, 10)))
    ]  # fmt: skip
    return SpikingNetwork(layers=layers)


def peak(steps):
    """Return the most memory that a run of counts alone holds at a time [bytes]."""
    x = np.random.default_rng(0).random((8, 20))
    tracemalloc.start()
    simulate(wide(400), x, steps=steps, encoding="rate", record="counts", outputs_at=[])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_ten_thousand_steps_take_the_memory_of_a_hundred_where_counts_are_kept(monkeypatch):
    # Threads meet at their largest by chance, and more often in more steps.
    monkeypatch.setattr("spikeram.processors.processors", lambda: 1)
    peak(100)  # compiles
    few, many = peak(100), peak(10_000)
    # The trains alone of 10,000 steps have 34 MB. What differs are objects of the interpreter.
    assert 500_000 < few
    assert many == pytest.approx(few, rel=0.1)


def test_several_chips_at_once_give_the_recordings_of_each():
    networks = [branching(seed) for seed in range(3)]
    x = np.random.default_rng(0).random((3, 72))
    options = {"encoding": "poisson", "seed": 1, "steps": 9}
    for record in ("spikes", "counts"):
        together = simulate_chips(networks, x, record=record, **options)
        for network, found in zip(networks, together):
            assert found.identical(simulate(network, x, record=record, **options))


def test_chips_of_different_networks_do_not_run_at_once():
    rng = np.random.default_rng(0)
    one, other = ([random_layer(rng, 3, n, name="only")] for n in (2, 4))
    with pytest.raises(ValueError, match="number 1 has the node 'only' of 4 outputs where the fir"):
        check_same_network([one, other])
    with pytest.raises(ValueError, match="at least one chip, got none"):
        simulate_chips([], np.zeros((1, 3)))


@pytest.mark.parametrize("steps", [[0], [9], [1.5]])
def test_outputs_are_kept_at_steps_that_there_are(steps):
    with pytest.raises(ValueError, match="outputs_at expects steps from 1 to 8"):
        simulate(branching(), np.zeros((1, 72)), steps=8, outputs_at=steps)


def test_a_recording_of_few_outputs_is_written_and_read(tmp_path):
    from spikeram.accessor import load
    from spikeram.recording import save

    run = simulate(branching(), np.zeros((1, 72)), steps=8, record="counts", outputs_at=[2])
    save(run, tmp_path / "run.nc")
    found = load(tmp_path / "run.nc")
    assert found["step"].values.tolist() == [2, 8]
    assert found.spk.prediction(2).shape == (1,)
    with pytest.raises(ValueError, match="no output after step 3.*2, 8"):
        found.spk.prediction(3)


def test_a_run_beyond_the_memory_says_what_it_needs_and_what_to_lower(monkeypatch):
    monkeypatch.setattr("spikeram.memory.free_memory", lambda: 10**8)
    with pytest.raises(CapacityError, match=r"needs 4 GB of memory \(4 GB for the outputs of 100 "):
        simulate(wide(), np.zeros((100, 20)), steps=10**6, record="counts")
    with pytest.raises(CapacityError, match="270 MB for the spikes of 1 samples in 1000000 steps"):
        simulate(wide(), np.zeros((100, 20)), steps=10**6, outputs_at=[])
    check_memory({"anything": 10**8}, "")


def test_without_a_gpu_the_engine_is_refused_before_the_run(monkeypatch):
    monkeypatch.setattr("spikeram._kernels.cuda_device.is_available", lambda: False)
    with pytest.raises(EngineError, match="needs an NVIDIA GPU .* or use engine='clocked'"):
        simulate(wide(), np.zeros((1, 20)), steps=2, engine="cuda")


def test_the_cuda_engine_takes_as_many_samples_as_fit(monkeypatch):
    from spikeram.cuda import Cuda

    monkeypatch.setattr("spikeram._kernels.cuda_device.is_available", lambda: True)
    nodes = wide().charge_layers()
    # For each step of a sample: a spike of 210 neurons, the charge of 200 and the trace of 10.
    each = 100 * (210 + 4 * 200 + 4 * 10) + 12 * 210
    fixed = 2 * (20 * 200 + 200 * 10) + 16 * 210
    for free, chips, most in ((fixed + 7 * each, 1, 7), (3 * (fixed + 2 * each), 3, 2)):
        monkeypatch.setattr(
            "spikeram._kernels.cuda_device.free_memory", lambda free=free: -int(-free // 0.8) + 1
        )
        assert Cuda().most_samples([nodes] * chips, 100, spiking_input=False) == most
    monkeypatch.setattr("spikeram._kernels.cuda_device.free_memory", lambda: fixed)
    with pytest.raises(CapacityError, match="of the GPU's memory .*Run fewer chips at once"):
        Cuda().most_samples([nodes], 100, spiking_input=False)
    loud = random_layer(np.random.default_rng(0), 2, 2, name="only", sigma_noise=2e8)
    with pytest.raises(EngineError, match="layer 'only' can draw 1.36e.09 quanta in one step"):
        Cuda().most_samples([[loud]], 1, spiking_input=False)
