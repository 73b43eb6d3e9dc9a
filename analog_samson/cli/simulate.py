"""`analog-samson simulate`: accuracy of a checkpoint over time on a hardware preset."""

from pathlib import Path
from typing import Annotated

import typer

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.shared import PresetFolders, command_line
from analog_samson.options import OUTPUT, option
from analog_samson.report.options import ReportOptions
from analog_samson.simulation.jobs import count_cells
from analog_samson.simulation.options import ErrorBudgetOptions, SimulateOptions, WithErrorBudget

EXAMPLE = """analog-samson simulate --model resnet20 --checkpoint resnet20.th --data cifar10:DIR
--preset pcm_nandakumar_2019 --times 1s,1h,1d,1y --instances 10 --out runs/r20"""


class SimulateCommand(ReportOptions, PresetFolders, WithErrorBudget, SimulateOptions):
    """Accuracy of a checkpoint over time on a hardware preset, with a report."""

    NAME = "simulate"

    config: Annotated[
        Path | None,
        option(
            "Take every option but --device and --threads from the run.toml of another run; repeat --model, --data "
            "and --task where they name code of yours.",
            OUTPUT,
            "FILE",
        ),
    ] = None
    out: Annotated[
        Path, option("Run folder; rerun the same command to resume a run that was stopped.", OUTPUT, "DIR")
    ] = Path("runs/simulate")


@takes(SimulateCommand, EXAMPLE)
def simulate(given: Given) -> None:
    from analog_samson.cli.ending import print_report
    from analog_samson.report.command import check_early
    from analog_samson.simulation.stored_options import options_to_repeat

    config = Path(given.pop("config")) if "config" in given else None
    command = SimulateCommand.from_text(
        given, {} if config is None else options_to_repeat(config, given, SimulateCommand)
    )
    check_early(command.threshold, command.task)
    options = command.part(SimulateOptions)
    _simulate(options, command.out, config, quiet=command.quiet)
    if command.budget is not None:
        _evaluate_budget(options, command.out, command.budget, quiet=command.quiet)
    print_report(
        [command.out],
        command,
        out=None,
        html=command.html,
        threshold=command.threshold,
        digital_pj_per_mac=command.digital_pj_per_mac,
    )


def _simulate(options: SimulateOptions, out: Path, config: Path | None, *, quiet: bool) -> None:
    """Simulate with a progress bar, unless quiet."""
    from analog_samson.cli.progress import cell_progress
    from analog_samson.results.runfile import repeated_run
    from analog_samson.runtime.devices import bfloat16_notes, find_device
    from analog_samson.simulation.run import run_simulation

    for note in bfloat16_notes(options.bf16, find_device(options.device)):
        typer.echo(note, err=True)
    repeats = None if config is None else repeated_run(config)
    with (
        cell_progress(count_cells(options), quiet=quiet) as progress,
        run_simulation(options, out, repeats=repeats, command=command_line(), progress=progress) as run,
    ):
        if quiet:
            return
        typer.echo(f"task {run.meta('task')['name']}", err=True)
        if (normalization := run.meta("checkpoint")["normalization"]) is not None:
            typer.echo(f"normalization {normalization}", err=True)


def _evaluate_budget(options: SimulateOptions, out: Path, settings: ErrorBudgetOptions, *, quiet: bool) -> None:
    """Say what it will cost, then evaluate the variants of the run with a progress bar."""
    from analog_samson.cli.progress import cell_progress
    from analog_samson.simulation.error_budget import open_error_budget

    with open_error_budget(options, out, settings) as budget:
        if not quiet:
            typer.echo(budget.cost(), err=True)
        with cell_progress(budget.missing, quiet=quiet) as progress:
            budget.finish(progress)
