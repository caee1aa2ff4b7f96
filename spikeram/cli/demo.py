"""The command that shows everything once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikeram.cli.console import FILE, INTERRUPTED, progress, say, show, status

if TYPE_CHECKING:
    from spikeram.demo import Outcome


@click.command()
@click.option(
    "--output",
    type=FILE,
    default=Path("demo-output"),
    show_default=True,
    help="Folder for results.json, report.html and the files to try the commands on.",
)
@click.option(
    "--chips", type=click.IntRange(min=2), default=5, show_default=True, help="Programmed chips."
)
@click.option(
    "--delay", default="1 day", show_default=True, help="Time between programming and read-out."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def demo(output: Path, chips: int, delay: str, seed: int) -> None:
    """Train on handwritten digits, convert, program, run, and compare."""
    from spikeram import demo as job
    from spikeram.files import check_output
    from spikeram.units import as_si

    as_si(delay, "s", "--delay")
    output.mkdir(parents=True, exist_ok=True)
    for name in job.FILES:
        check_output(output / name)
    outcome: Outcome | None = None
    try:
        data = job.digits()
        with status("Training a 64-128-64-10 network on 1437 digits"):
            trained = job.train(data, seed=seed)
        right = trained.predict(data.x_test) == data.y_test
        outcome = job.Outcome(ann=float(right.mean()), n_chips=chips, seed=seed, delay=delay)
        _write_examples(job, data, trained, output)
        say(f"Trained network: {outcome.ann:.2%} of {right.size} held-out digits.")
        with progress("Programming chips and running spikes") as start:
            work = start(len(job.STEPS) * (1 + 2 * chips))
            job.run(data, trained, outcome, progress=work)
        job.write_results(outcome, output / "results.json")
        with status("Writing the report"):
            job.write_files(data, trained, outcome, output)
    except KeyboardInterrupt:
        if outcome is None:
            say("Stopped before the network was trained; nothing to write.")
        else:
            job.write_results(outcome, output / "results.json")
            finished = f"{len(outcome.steps)} finished rows"
            say(f"Stopped. {output / 'results.json'} holds the {finished}.")
        raise SystemExit(INTERRUPTED) from None
    show(job.table(outcome), f"{chips} chips, {delay} after programming; figures of one image")
    say(f"Wrote {output / 'report.html'} and {output / 'results.json'}.")


def _write_examples(job: Any, data: Any, trained: Any, output: Path) -> None:
    """Leave files behind that the other commands can be tried on."""
    import numpy as np

    trained.save(output / "trained.npz")
    np.savez_compressed(output / "calibration.npz", x=data.x_train[: job.RECALIBRATION_SAMPLES])
    np.savez_compressed(output / "test.npz", x=data.x_test, y=data.y_test)
