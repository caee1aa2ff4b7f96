from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from spikeram import recurrent  # noqa: E402
from spikeram.conversion import convert, read, recalibrate  # noqa: E402
from spikeram.errors import FileFormatError  # noqa: E402
from spikeram.inference import predictions  # noqa: E402
from spikeram.models.networks import speech, speech_cnn, speech_lstm  # noqa: E402
from spikeram.models.networks.network import load, record  # noqa: E402
from spikeram.programming import program  # noqa: E402
from spikeram.simulation import simulate  # noqa: E402
from spikeram.statistics import accuracy  # noqa: E402


@pytest.fixture(scope="module")
def clips(request):
    """Return a function for clips of all classes of a part; skip without the data."""
    folder = request.getfixturevalue("measured_data")
    if not (folder / "speech_commands").is_dir():
        pytest.skip("SPIKERAM_DATA has no speech_commands")

    def some(network, part: str, n: int):
        found = network.samples(part)
        stride = len(found) // n
        return found.x[::stride][:n], found.y[::stride][:n]

    return some


def random_clips(n: int, frames: int = 25) -> np.ndarray:
    codes = np.random.default_rng(0).integers(-7, 8, (n, frames, speech.N_COEFFICIENTS))
    return (codes / 7).astype(np.float32)


def test_varied_clips_stay_at_levels_and_come_again_from_a_seed():
    x = torch.tensor(random_clips(8, speech.N_FRAMES))
    first, again, other = (
        speech.varied(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    codes = first * speech.LEVELS
    assert torch.allclose(codes, codes.round(), atol=1e-5)
    assert first.abs().max() <= 1


def test_the_gradient_is_that_of_the_formula_where_rounding_is_fine(monkeypatch):
    for name in ("SUM_LEVELS", "LEVELS", "GATE_LEVELS"):
        monkeypatch.setattr(speech_lstm, name, 2**18)
    monkeypatch.setattr(speech, "LEVELS", 2**18)
    torch.manual_seed(0)
    model = speech_lstm.KeywordLSTM()
    # Small inputs, so that no sum and no state is clipped.
    x = torch.tensor(random_clips(4, 5)) * 0.2

    def plain() -> torch.Tensor:
        scores = []
        for into, within, out in zip(model.from_input, model.from_hidden, model.to_output):
            h = c = torch.zeros(len(x), speech_lstm.N_HIDDEN)
            for frame in x.unbind(1):
                i, f, o, u = (into(frame) + within(h)).chunk(4, -1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(u)
                h = torch.sigmoid(o) * torch.tanh(c)
            scores.append(out(h))
        return torch.stack(scores).mean(0)

    found = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    wanted = torch.autograd.grad(plain().square().sum(), list(model.parameters()))
    for one, other in zip(found, wanted):
        assert torch.allclose(one, other, atol=2e-3 * float(other.abs().max()))


def test_the_arrays_of_a_model_compute_what_it_does():
    torch.manual_seed(0)
    model = speech_lstm.KeywordLSTM().eval()
    x = random_clips(40)
    with torch.no_grad():
        wanted = model(torch.tensor(x)).numpy()
    found = speech_lstm.lstm_of(model).forward(x)
    # Sums that fall between two levels are rounded either way, here and there.
    assert np.mean(np.abs(found - wanted)) < 0.02 * np.std(wanted)


def test_a_file_of_another_network_is_refused():
    with pytest.raises(FileFormatError, match="holds weights of 'speech_cnn'"):
        load(speech_lstm.NETWORK, file=speech_cnn.NETWORK.file())


def test_another_model_is_refused():
    with pytest.raises(TypeError, match="expects a KeywordLSTM, got Sequential"):
        speech_lstm.lstm_of(speech_cnn.build())


@pytest.mark.parametrize("network", [speech_cnn.NETWORK, speech_lstm.NETWORK])
def test_shipped_weights_are_as_good_as_their_record_says(network, clips):
    test = network.samples("test")
    model = load(network)
    with torch.no_grad():
        found = torch.cat([model(part) for part in torch.tensor(test.x).split(315)])
    right = float(np.mean(found.argmax(1).numpy() == test.y))
    # Weights are shipped at half precision, which turns a few of the 945 clips.
    assert right == pytest.approx(record(network).accuracy["0"], abs=0.006)


def test_keywords_are_recognised_with_spikes_on_a_chip(clips):
    calibration, _ = clips(speech_cnn.NETWORK, "train", 60)
    x, y = clips(speech_cnn.NETWORK, "test", 96)
    trained = read(load(speech_cnn.NETWORK), input_shape=x.shape[1:])
    network = convert(trained, calibration, steps=None, method="learned_signed")
    chip = recalibrate(program(network, seed=0), calibration, steps=16)
    run = simulate(chip, x, steps=16, record="counts")
    # 96 clips: two standard errors below the 84 % of the documentation.
    assert accuracy(run, y)[-1] > 0.76


def test_keywords_are_recognised_by_the_lstm_on_a_chip(clips):
    calibration, _ = clips(speech_lstm.NETWORK, "train", 60)
    x, _ = clips(speech_lstm.NETWORK, "test", 96)
    lstm = speech_lstm.lstm_of(load(speech_lstm.NETWORK))
    chip = recurrent.program(lstm, seed=0)
    settings = recurrent.operating_points(chip, calibration)
    settings = recurrent.calibrate(chip, calibration, settings)
    run = recurrent.infer(chip, x, settings)
    assert np.mean(predictions(run) == lstm.forward(x).argmax(axis=1)) > 0.7
