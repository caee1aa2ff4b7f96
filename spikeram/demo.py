"""The demo: real handwritten digits, from a trained network to spikes on programmed chips."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spikeram import energy, plot, recording, statistics
from spikeram.chip import ProgrammedChip
from spikeram.conversion import TrainedNetwork, convert, read, recalibrate
from spikeram.files import replacing
from spikeram.network import SpikingNetwork
from spikeram.programming import program
from spikeram.report import Section, Table, layer_table, write
from spikeram.simulation import membrane, simulate

STEPS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Numbers of steps that the table shows; the network is converted anew for each."""

SHOWN_STEPS = 32
"""Number of steps of the network in the pictures."""

FILES = (
    "trained.npz",
    "calibration.npz",
    "test.npz",
    "results.json",
    "run.nc",
    "accuracy.png",
    "report.html",
)
"""Names of the files that the demo writes into its folder."""

RECALIBRATION_SAMPLES = 300
NETWORKS = ("ideal", "rram_programmed", "rram_recalibrated")
_LABELS = {
    "ideal": "ideal spiking network",
    "rram_programmed": "RRAM, as programmed",
    "rram_recalibrated": "RRAM, recalibrated",
}


@dataclass(frozen=True, eq=False)
class Digits:
    """Scikit-learn's 1797 handwritten digits of 8 x 8 pixels, split once and for all.

    Parameters
    ----------
    x_train, x_test : ndarray of shape (sample, 64)
        Pixels between 0 and 1.
    y_train, y_test : ndarray of shape (sample,)
        The digits.
    """

    x_train: NDArray[np.float64]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float64]
    y_test: NDArray[np.int64]


@dataclass(eq=False)
class Outcome:
    """What the demo has found so far; filled row by row, so that Ctrl-C loses nothing.

    Parameters
    ----------
    ann : float
        Accuracy of the trained network.
    n_chips, seed : int
        How many chips, and where they came from.
    delay : str
        Time between programming and read-out.
    accuracy : dict
        Of each network and T: a list with one accuracy for each chip (one for the ideal).
    spikes, energy : dict
        Of each network and T: mean spikes, and energy [J], of one image.
    """

    ann: float
    n_chips: int
    seed: int
    delay: str
    accuracy: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    spikes: dict[str, dict[int, float]] = field(default_factory=dict)
    energy: dict[str, dict[int, float]] = field(default_factory=dict)
    latency: dict[int, float] = field(default_factory=dict)
    complete: bool = False

    @property
    def steps(self) -> list[int]:
        """Rows that are finished."""
        return list(self.latency)

    def mean(self, network: str) -> list[float]:
        """Return the mean accuracy of a network over chips, for each finished T."""
        return [float(np.mean(self.accuracy[network][t])) for t in self.steps]


def digits() -> Digits:
    """Return the digits: 1437 to train on, 360 held out, the same share of each class."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    data = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        data.data / 16.0, data.target, test_size=360, stratify=data.target, random_state=0
    )
    return Digits(x_train, y_train, x_test, y_test)


def train(data: Digits, *, seed: int) -> TrainedNetwork:
    """Return a 64-128-64-10 perceptron trained by scikit-learn for 60 epochs.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, which scikit-learn alone would take for the end of training.
    """
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        (128, 64), alpha=0.01, batch_size=64, max_iter=60, n_iter_no_change=60, random_state=seed
    )
    _fit_all_epochs(model, data)
    return read(model)


def run(
    data: Digits,
    trained: TrainedNetwork,
    outcome: Outcome,
    *,
    progress: Callable[[int], None] = lambda cells: None,
    steps: Sequence[int] = STEPS,
) -> Outcome:
    """Fill `outcome`: for each T convert, simulate, program each chip, recalibrate, simulate.

    Parameters
    ----------
    data, trained : Digits, TrainedNetwork
        What to run.
    outcome : Outcome
        Filled in place; what is finished stays when the run is stopped.
    progress : callable
        Called with 1 after each simulated network.
    steps : sequence of int
        Numbers of steps.
    """
    for t in steps:
        network = convert(trained, data.x_train, steps=t)
        runs: dict[str, list[xr.Dataset]] = {name: [] for name in NETWORKS}
        runs["ideal"].append(_count(network, data))
        progress(1)
        for index in range(outcome.n_chips):
            chip = program(network, delay=outcome.delay, seed=outcome.seed, index=index)
            runs["rram_programmed"].append(_count(chip, data))
            chip = recalibrate(chip, data.x_train[:RECALIBRATION_SAMPLES])
            runs["rram_recalibrated"].append(_count(chip, data))
            progress(2)
        for name, found in runs.items():
            outcome.accuracy.setdefault(name, {})[t] = [_accuracy(ds, data) for ds in found]
            outcome.spikes.setdefault(name, {})[t] = _mean(
                [float(ds["row_size"].sum("neuron").mean()) for ds in found]
            )
            outcome.energy.setdefault(name, {})[t] = _mean(
                [float(energy.energy(ds).sum(("crossbar", "component")).mean()) for ds in found]
            )
        outcome.latency[t] = float(energy.latency(runs["ideal"][0]).mean())
    outcome.complete = True
    return outcome


def table(outcome: Outcome) -> Table:
    """Return the demo's one table."""
    header = ["T", "ANN %", "ideal %", "programmed %", "recalibrated %", "spikes", "nJ", "us"]
    rows = []
    for t in outcome.steps:
        rows.append(
            [
                str(t),
                _share([outcome.ann]),
                _share(outcome.accuracy["ideal"][t]),
                _share(outcome.accuracy["rram_programmed"][t]),
                _share(outcome.accuracy["rram_recalibrated"][t]),
                f"{outcome.spikes['rram_recalibrated'][t]:,.0f}",
                f"{1e9 * outcome.energy['rram_recalibrated'][t]:.3g}",
                f"{1e6 * outcome.latency[t]:.3g}",
            ]
        )
    return Table(header, rows)


def write_results(outcome: Outcome, path: Path) -> None:
    """Write ``results.json``: the table's figures, and those of every chip."""
    results = {
        "complete": outcome.complete,
        "ann": outcome.ann,
        "chips": outcome.n_chips,
        "delay": outcome.delay,
        "seed": outcome.seed,
        "accuracy": {
            "ann": {str(t): outcome.ann for t in outcome.steps},
            **{
                name: dict(zip(map(str, outcome.steps), outcome.mean(name)))
                for name in outcome.accuracy
            },
        },
        "accuracy_of_each_chip": _keyed(outcome.accuracy),
        "spikes": _keyed(outcome.spikes),
        "energy": _keyed(outcome.energy),
        "latency": {str(t): value for t, value in outcome.latency.items()},
        "units": {"accuracy": "1", "spikes": "1/image", "energy": "J/image", "latency": "s"},
        "versions": recording.versions(),
    }
    with replacing(path) as scratch:
        scratch.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def write_files(data: Digits, trained: TrainedNetwork, outcome: Outcome, folder: Path) -> None:
    """Write ``report.html`` with its pictures, and the recording they show."""
    network = convert(trained, data.x_train, steps=SHOWN_STEPS)
    chip = program(network, delay=outcome.delay, seed=outcome.seed, index=0)
    chip = recalibrate(chip, data.x_train[:RECALIBRATION_SAMPLES])
    shown = simulate(chip, data.x_test, steps=STEPS[-1])
    shown = shown.assign_coords(label=("trial", data.y_test))
    recording.save(shown, folder / "run.nc")
    accuracy = accuracy_figure(outcome, shown)
    plot.figure_of(accuracy).savefig(folder / "accuracy.png", dpi=110)
    write(
        folder / "report.html",
        "Handwritten digits as spikes on RRAM",
        f"{outcome.ann:.2%} of {data.y_test.size} held-out digits are right in the trained "
        f"network. RRAM figures are means over {outcome.n_chips} programmed chips, read "
        f"{outcome.delay} after programming.",
        [
            Section("Accuracy, spikes and energy", _TABLE, table(outcome)),
            Section("Accuracy over time", _ACCURACY, figures=[accuracy]),
            Section("Raster", "", figures=[plot.raster(shown)]),
            Section("Layers", f"{STEPS[-1]} steps; means over images.", layer_table(shown)),
            Section("Conductances", _chip_text(chip), figures=_chip_figures(chip)),
            Section("Membranes", _MEMBRANE, figures=[_membrane_figure(chip, data.x_test[0])]),
        ],
        provenance={"chips from seed": outcome.seed, **json.loads(shown.attrs["provenance"])},
    )


def accuracy_figure(outcome: Outcome, shown: xr.Dataset) -> Axes:
    """Return accuracy over time: each network converted for T, and one chip read at any T."""
    anytime = statistics.accuracy(shown, shown["label"].values)
    curves = {
        f"one chip converted for T = {SHOWN_STEPS}, read at any T": plot.Curve(
            steps=anytime["step"].values, mean=anytime.values, dashed=True
        )
    }
    for name in NETWORKS:
        chips = [outcome.accuracy[name][t] for t in outcome.steps]
        curves[_LABELS[name]] = plot.Curve(
            steps=outcome.steps,
            mean=outcome.mean(name),
            low=[min(values) for values in chips],
            high=[max(values) for values in chips],
        )
    return plot.accuracy(curves, reference=outcome.ann)


_TABLE = (
    "Each row is the network converted for T steps. Accuracies as programmed and recalibrated are "
    "mean and standard deviation over chips; spikes, energy and latency are those of one image on "
    "the recalibrated chips."
)
_ACCURACY = "Bands span the best and the worst chip."
_MEMBRANE = (
    "Three neurons of the first layer see one digit as a constant current. At the threshold one "
    "threshold's worth of charge is taken away."
)


def _chip_text(chip: ProgrammedChip) -> str:
    return (
        f"{chip.n_cells:,} cells on {chip.mapping.n_powered} cores took {chip.mean_pulses:.2f} "
        "write pulses on average, reprogramming included; write-verify gave up "
        f"{chip.timed_out:.2%}. The picture shows layer {chip.network.layers[1].name}."
    )


def _chip_figures(chip: ProgrammedChip) -> list[Axes]:
    layer = chip.layers[1]
    return [
        plot.conductance_map(layer),
        plot.programming(layer),
        plot.deviation(layer),
        plot.chip_map(chip.mapping),
    ]


def _membrane_figure(chip: ProgrammedChip, x: NDArray[np.float64]) -> Axes:
    trace = membrane(chip, x, layer=0, steps=SHOWN_STEPS)
    layer = chip.charge_layers()[0]
    counts = simulate(chip, [x], steps=SHOWN_STEPS, record="counts")["row_size"].values[0]
    first = counts[: layer.n_outputs]
    # A slow neuron, a middling and a fast one.
    wanted = [np.argmin(np.abs(first - share * SHOWN_STEPS)) for share in (0.1, 0.3, 0.6)]
    neurons = np.unique(wanted)
    return plot.membrane(trace.isel(neuron=neurons), layer.threshold[neurons] * layer.quantum)


def _count(model: SpikingNetwork | ProgrammedChip, data: Digits) -> xr.Dataset:
    return simulate(model, data.x_test, record="counts")


def _accuracy(ds: xr.Dataset, data: Digits) -> float:
    return float(statistics.accuracy(ds, data.y_test)[-1])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _share(values: Sequence[float]) -> str:
    mean = f"{100 * np.mean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * np.std(values, ddof=1):.2f}"


def _keyed(table: dict[str, dict[int, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {str(t): value for t, value in row.items()} for name, row in table.items()}


def _fit_all_epochs(model: Any, data: Digits) -> None:
    """Fit; stopping at the last epoch is what was asked for, not worth a warning."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Scikit-learn catches Ctrl-C, warns, and returns a network that is half trained.
        warnings.filterwarnings("error", "Training interrupted", UserWarning)
        try:
            model.fit(data.x_train, data.y_train)
        except UserWarning:
            raise KeyboardInterrupt from None
    if model.n_iter_ < model.max_iter:
        raise KeyboardInterrupt
