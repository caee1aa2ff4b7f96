from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from spikeram import recurrent
from spikeram.adc import ADC
from spikeram.errors import CapacityError
from spikeram.faults import Faults
from spikeram.inference import predictions
from spikeram.lstm import LSTM
from spikeram.models import chips

N_CELLS, N_INPUTS, N_UNITS, N_CLASSES = 2, 6, 8, 3
FINE = ADC(bits=10, conversion="binary_search")


def small(**options: object) -> LSTM:
    rng = np.random.default_rng(0)
    return LSTM(
        from_input=rng.normal(0, 0.8, (N_CELLS, 4, N_INPUTS, N_UNITS)),
        from_hidden=rng.normal(0, 0.4, (N_CELLS, 4, N_UNITS, N_UNITS)),
        bias=rng.normal(0, 0.3, (N_CELLS, 4, N_UNITS)),
        to_output=rng.normal(0, 0.5, (N_CELLS, N_UNITS, N_CLASSES)),
        output_bias=rng.normal(0, 0.1, (N_CELLS, N_CLASSES)),
        **options,
    )


def sequences(n: int = 40, steps: int = 7) -> np.ndarray:
    codes = np.random.default_rng(1).integers(-7, 8, (n, steps, N_INPUTS))
    return codes / 7


def textbook(lstm: LSTM, x: np.ndarray) -> np.ndarray:
    """Return the scores of an LSTM without any rounding, unit by unit as it is printed."""
    scores = np.zeros((len(x), lstm.n_classes))
    for s, sequence in enumerate(x):
        for k in range(lstm.n_cells):
            h, c = np.zeros(lstm.n_units), np.zeros(lstm.n_units)
            for now in sequence:
                i, f, o, u = (
                    now @ lstm.from_input[k, g] + h @ lstm.from_hidden[k, g] + lstm.bias[k, g]
                    for g in range(4)
                )
                c = expit(f) * c + expit(i) * np.tanh(u)
                h = expit(o) * np.tanh(c)
            scores[s] += (h @ lstm.to_output[k] + lstm.output_bias[k]) / lstm.n_cells
    return scores


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - wanted) ** 2) / np.var(wanted)))


def test_with_many_bits_the_software_is_a_textbook_lstm():
    lstm = small(input_bits=8, sum_bits=24, element_bits=24, sum_limit=30.0)
    x = np.random.default_rng(2).integers(-127, 128, (10, 7, N_INPUTS)) / 127
    # A hidden state of 8 bits is off by 1/254 at most, and 8 of them meet weights of 0.4.
    assert np.allclose(lstm.forward(x), textbook(lstm, x), atol=0.01)


def test_an_ideal_chip_computes_what_the_software_does():
    lstm, x = small(sum_bits=16, sum_limit=30.0), sequences()
    chip = recurrent.program(lstm, chip=chips.ideal(), seed=0)
    settings = recurrent.operating_points(chip, x, adc=FINE)
    run = recurrent.infer(chip, x, settings)
    # Readings of 10 bits; some of the hidden states of 4 bits fall on the other side of a level.
    assert relative(run["output"].values, lstm.forward(x)) < 0.1
    assert run["stuck"].sum() < 0.01 * run["conversions"].sum() * len(x)


def test_a_matrix_over_several_cores_computes_the_same():
    lstm, x = small(sum_bits=16, sum_limit=30.0), sequences()
    chip = recurrent.program(lstm, chip=replace(chips.ideal(), rows=12, n_cores=100), seed=0)
    assert len(chip.arrays[1].crossbar.segments) == 2
    settings = recurrent.operating_points(chip, x, adc=FINE)
    run = recurrent.infer(chip, x, settings)
    assert relative(run["output"].values, lstm.forward(x)) < 0.1


def test_calibration_takes_up_the_offsets_of_lines():
    lstm, x = small(sum_bits=16, sum_limit=30.0), sequences(200)
    chip = recurrent.program(lstm, chip=chips.ideal(), seed=0)
    errors = recurrent.line_errors(chip, sigma_sample="3 mV", sigma_comparator="50 mV", seed=0)
    settings = recurrent.operating_points(chip, x[:100], adc=replace(FINE, bits=8))
    own = recurrent.calibrate(chip, x[:100], settings, errors=errors)
    before, after = (
        relative(
            recurrent.infer(chip, x[100:], one, errors=errors)["output"].values,
            lstm.forward(x[100:]),
        )
        for one in (settings, own)
    )
    assert after < 0.3 * before


def test_a_run_is_the_same_in_any_batches(monkeypatch):
    lstm, x = small(), sequences(20)
    chip = recurrent.program(lstm, seed=0)
    errors = recurrent.line_errors(chip, sigma_read="4 uS", sigma_sample="3 mV", seed=0)
    settings = recurrent.operating_points(chip, x)
    whole = recurrent.infer(chip, x, settings, errors=errors, seed=3)
    monkeypatch.setattr(recurrent, "BATCH", 7)
    parts = recurrent.infer(chip, x, settings, errors=errors, seed=3)
    assert whole.identical(parts)
    other = recurrent.infer(chip, x, settings, errors=errors, seed=4)
    assert not np.array_equal(whole["output"], other["output"])


def test_read_noise_is_new_at_every_step():
    # Without weights between steps and with the same input, only noise can change a state.
    lstm = replace(small(), from_hidden=np.zeros((N_CELLS, 4, N_UNITS, N_UNITS)))
    chip = recurrent.program(lstm, chip=chips.ideal(), seed=0)
    errors = recurrent.line_errors(chip, sigma_read="20 uS", seed=0)
    x = np.repeat(sequences(1, 1), 2, axis=1)
    settings = recurrent.operating_points(chip, sequences())
    n = 0
    products = [recurrent._product(chip, n, settings[n], errors, 5) for _ in range(2)]
    codes = np.concatenate([x[0, :1] * 7, np.full((1, 2), 7)], axis=1)
    first, second = (p(codes, visit=step) for step, p in enumerate(products))
    assert not np.array_equal(first, second)


def test_the_published_network_takes_the_published_cells_and_cores():
    lstm = LSTM(
        from_input=np.ones((4, 4, 40, 112)),
        from_hidden=np.ones((4, 4, 112, 112)),
        bias=np.zeros((4, 4, 112)),
        to_output=np.ones((4, 112, 12)),
        output_bias=np.zeros((4, 12)),
    )
    chip = recurrent.program(lstm, chip=chips.ideal(), seed=0)
    # github.com/weierwan/Neurram_48core: 32 matrices of 84 and 228 rows, and four dense layers.
    assert chip.cores == 36
    assert sum(array.target.size for array in chip.arrays) == 570_048


def test_biases_are_shared_between_the_arrays_of_a_gate():
    lstm = small()
    chip = recurrent.program(lstm, chip=chips.ideal(), seed=0)
    into, within = (array.weight[-recurrent.N_BIAS :].sum(axis=0) for array in chip.arrays[:2])
    assert np.allclose(into + within, lstm.bias[0, 0])


def test_predictions_are_those_of_the_largest_score():
    lstm, x = small(), sequences(10)
    chip = recurrent.program(lstm, chip=chips.ideal(), seed=0)
    run = recurrent.infer(chip, x, recurrent.operating_points(chip, x))
    assert np.array_equal(predictions(run), run["output"].values.argmax(axis=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": np.zeros((N_CELLS, 4, 5))}, r"LSTM.bias expects the shape \(2, 4, 8\)"),
        ({"from_input": np.zeros((4, 6, 8))}, "from_input of shape"),
        ({"to_output": np.full((N_CELLS, N_UNITS, N_CLASSES), np.nan)}, "finite"),
        ({"input_bits": 1}, "input_bits expects 2 to 8, got 1"),
        ({"state_limit": 0.0}, "state_limit expects a number > 0"),
    ],
)
def test_an_lstm_that_does_not_fit_together_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(small(), **change)


def test_bad_arguments_are_refused_before_any_work():
    lstm, x = small(), sequences(5)
    with pytest.raises(TypeError, match="expects an LSTM, got int"):
        recurrent.program(3, seed=0)
    with pytest.raises(CapacityError, match="needs 18 cores, but the chip has 2"):
        recurrent.program(lstm, chip=replace(chips.ideal(), n_cores=2), seed=0)
    with pytest.raises(ValueError, match="without faults"):
        recurrent.program(
            lstm, chip=replace(chips.ideal(), faults=Faults(dead_neurons={0: [3]})), seed=0
        )
    chip = recurrent.program(lstm, chip=chips.ideal(), seed=0)
    settings = recurrent.operating_points(chip, x)
    with pytest.raises(ValueError, match=r"shape \(sample, step, 6\), got \(5, 7, 4\)"):
        recurrent.infer(chip, x[..., :4], settings)
    with pytest.raises(ValueError, match="settings for 18 arrays, got 2"):
        recurrent.infer(chip, x, settings[:2])
