"""`analog-samson compare`: checkpoints on presets over time, in one command, as one table, one figure, one page."""

from pathlib import Path
from typing import Annotated

import typer

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.globs import expanded
from analog_samson.cli.shared import PresetFolders, command_line
from analog_samson.errors import OptionError
from analog_samson.options import OUTPUT, option
from analog_samson.report.options import ReportOptions, TableOptions
from analog_samson.simulation.many_options import CompareOptions

EXAMPLE = """analog-samson compare --checkpoint sgd=a.safetensors --checkpoint samson=b.safetensors
--preset pcm_nandakumar_2019 --preset reram_wan_2022 --data cifar10:DIR --times 1s,1h,1d --out runs/cmp"""


class CompareReport(TableOptions, ReportOptions):
    """The report of the runs that are compared."""

    NAME = "compare"

    runs: Annotated[
        tuple[Path, ...], option("Run folders that exist, instead of checkpoints.", metavar="RUN", is_argument=True)
    ] = ()
    out: Annotated[Path, option("Folder for run folders and report.html.", OUTPUT, "DIR")] = Path("runs/compare")


class CompareCommand(CompareReport, PresetFolders, CompareOptions):
    """Compare checkpoints on presets over time: equal chips, paired differences, one page.

    Every checkpoint on every preset is a run folder below --out; rerun the same command to resume. Or give run folders
    that exist; runs on different data, limits, calibration images or seeds are refused with the difference.
    """

    NAME = "compare"


@takes(CompareCommand, EXAMPLE)
def compare(given: Given) -> None:
    from analog_samson.report.command import check_early

    given = expanded(given)
    if "runs" not in given:
        options = CompareCommand.from_text(given)
        check_early(options.threshold, options.task)
        _report(_simulate(options), options)
        return
    if simulated := [name for name in given if name not in CompareReport.model_fields]:
        typed = ", ".join(map(CompareCommand.typed, simulated))
        raise OptionError(f"compare: run folders and {typed} exclude each other; a run has its own")
    existing = CompareReport.from_text(given)
    _report(list(existing.runs), existing)


def _simulate(options: CompareCommand) -> list[Path]:
    """Run all simulations with a progress bar; says beforehand how many evaluations there are."""
    from analog_samson.cli.progress import cell_progress
    from analog_samson.simulation.comparison import run_comparison
    from analog_samson.simulation.jobs import count_evaluations, plan_jobs

    jobs = plan_jobs(options, options.out)
    count = count_evaluations(jobs)
    if not options.quiet:
        typer.echo(f"{len(jobs)} simulations, {count} evaluations; what is stored already is not repeated", err=True)
    with cell_progress(count, quiet=options.quiet) as progress:
        run_comparison(jobs, command=command_line(), progress=progress)
    return [job.folder for job in jobs]


def _report(folders: list[Path], told: CompareReport) -> None:
    from analog_samson.cli.ending import print_report
    from analog_samson.report.page import PAGE_NAME
    from analog_samson.simulation.comparison import compare_runs

    compare_runs(folders)  # refuses what cannot be compared, before anything is written
    print_report(
        folders,
        told,
        format=told.format,
        out=told.out / PAGE_NAME,
        html=told.html,
        threshold=told.threshold,
        digital_pj_per_mac=told.digital_pj_per_mac,
        table=told.table,
    )
