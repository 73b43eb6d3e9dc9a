"""`analog-samson simulate`: accuracy of a checkpoint over time on a hardware preset."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import Field

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.shared import PresetFolders, ReportOptions, command_line
from analog_samson.errors import OptionError
from analog_samson.options import Shown
from analog_samson.simulation.options import (
    OUTPUT,
    VOLATILE,
    ErrorBudgetOptions,
    SimulateOptions,
    WithErrorBudget,
    count_cells,
)

EXAMPLE = """analog-samson simulate --model resnet20 --checkpoint resnet20.th --data cifar10:DIR
--preset pcm_nandakumar_2019 --times 1s,1h,1d,1y --instances 10 --out runs/r20"""


class SimulateCommand(ReportOptions, PresetFolders, WithErrorBudget, SimulateOptions):
    """Accuracy of a checkpoint over time on a hardware preset, with a report."""

    NAME = "simulate"

    config: Annotated[
        Path | None,
        Field(
            description="Take every option but --device and --threads from the run.toml of another run; repeat --model "
            "and --data where they name code of yours."
        ),
        Shown(panel=OUTPUT, metavar="FILE"),
    ] = None
    out: Annotated[
        Path,
        Field(description="Run folder; rerun the same command to resume a run that was stopped."),
        Shown(panel=OUTPUT, metavar="DIR"),
    ] = Path("runs/simulate")


@takes(SimulateCommand, EXAMPLE)
def simulate(given: Given) -> None:
    from analog_samson.report.command import check_threshold, make_report

    config = Path(given.pop("config")) if "config" in given else None
    command = SimulateCommand.from_text(given, {} if config is None else _stored(given, config))
    check_threshold(command.threshold)
    options = command.part(SimulateOptions)
    _simulate(options, command.out, config)
    if command.budget is not None:
        _evaluate_budget(options, command.out, command.budget)
    text = make_report([command.out], "text", out=None, html=command.html, say=print, threshold=command.threshold)
    print(text, end="")


def _stored(given: Given, config: Path) -> dict[str, Any]:
    """The options of another run.

    Options that name code may be repeated beside it, for only the user can have code run.
    """
    from analog_samson.simulation.stored_options import CODE, read_config

    typed = [name for name in given if name in SimulateOptions.model_fields or name == "preset_dir"]
    repeated = {name: given[name] for name in CODE if name in typed}
    options = read_config(config, trusted=repeated.values())
    lost = ", ".join(SimulateCommand.typed(name) for name in typed if name not in (*VOLATILE, *CODE))
    if lost:
        raise OptionError(f"simulate: {lost} beside --config, which takes every option from that run")
    for name, value in repeated.items():
        stored, option = getattr(options, name), SimulateCommand.typed(name)
        if stored != value and (name, stored) != ("model", None):  # whose checkpoint named the network
            raise OptionError(
                f"simulate: {option} {value} beside --config, whose run has {stored or 'none'}; leave {option} out"
            )
    return dict(options)


def _simulate(options: SimulateOptions, out: Path, config: Path | None) -> None:
    """Simulate with a progress bar."""
    from analog_samson.cli.progress import cell_progress
    from analog_samson.results.runfile import repeated_run
    from analog_samson.runtime.devices import bfloat16_notes, find_device
    from analog_samson.simulation.run import run_simulation

    for note in bfloat16_notes(options.bf16, find_device(options.device)):
        typer.echo(note, err=True)
    repeats = None if config is None else repeated_run(config)
    with (
        cell_progress(count_cells(options)) as progress,
        run_simulation(options, out, repeats=repeats, command=command_line(), progress=progress) as run,
    ):
        typer.echo(f"normalization {run.meta('checkpoint')['normalization']}", err=True)


def _evaluate_budget(options: SimulateOptions, out: Path, settings: ErrorBudgetOptions) -> None:
    """Say what it will cost, then evaluate the variants of the run with a progress bar."""
    from analog_samson.cli.progress import cell_progress
    from analog_samson.simulation.error_budget import open_error_budget

    with open_error_budget(options, out, settings) as budget:
        typer.echo(budget.cost(), err=True)
        with cell_progress(budget.missing) as progress:
            budget.finish(progress)
