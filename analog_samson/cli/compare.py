"""`analog-samson compare`: checkpoints on presets over time, in one command, as one table, one figure, one page."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analog_samson.cli.idle import INPUT_RANGE_HELP, refuse_idle_calibration, refuse_idle_input_range
from analog_samson.cli.preset_dirs import PresetDirs, resolve_preset
from analog_samson.cli.report import Format
from analog_samson.cli.simulate import parse_sigmas
from analog_samson.cli.typed import as_options, typed_options
from analog_samson.errors import OptionError, list_faults
from analog_samson.units import parse_times

if TYPE_CHECKING:
    from analog_samson.simulation.comparison import ComparisonCell

EXAMPLE = """Example:

analog-samson compare --checkpoint sgd=a.safetensors --checkpoint samson=b.safetensors \
--preset pcm_nandakumar_2019 --preset reram_wan_2022 --data cifar10:DIR --times 1s,1h,1d --out runs/cmp
"""


def compare(
    context: typer.Context,
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Run folders that exist already, instead of checkpoints.", metavar="RUN")
    ] = None,
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Checkpoint: FILE, zoo:NAME, or NAME=FILE; give it again for more.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="Name of a checkpoint in tables and figures, in their order.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model name, where checkpoints do not say it: one for all or one each.")
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(help="Hardware preset; give it again for more.", show_default="pcm_nandakumar_2019"),
    ] = None,
    preset_dir: PresetDirs = None,
    data: Annotated[str | None, typer.Option(help="Test data, as for simulate.")] = None,
    times: Annotated[str, typer.Option(help="Times after programming (units s m h d w y).")] = "1s,1h,1d,1y",
    instances: Annotated[int, typer.Option(help="Simulated chips, the same for every checkpoint.", min=1)] = 10,
    seed: Annotated[int, typer.Option(help="Names every random draw.")] = 0,
    sigmas: Annotated[
        str, typer.Option(help="Gaussian conductance model, for the equivalent sigma_c: values, or `none`.")
    ] = "none",
    limit: Annotated[int | None, typer.Option(help="Use the first N test images.", show_default="all")] = None,
    adabs: Annotated[bool, typer.Option("--adabs", help="Also with adapted batch-norm statistics (AdaBS).")] = False,
    calibration_data: Annotated[
        str | None, typer.Option(help="Images for AdaBS and input ranges.", show_default="training part of --data")
    ] = None,
    calibration_limit: Annotated[int, typer.Option(help="Use the first N calibration images.")] = 1000,
    input_range: Annotated[str, typer.Option(help=INPUT_RANGE_HELP)] = "output_error",
    normalization: Annotated[
        str | None, typer.Option(help="Of the input, as for simulate.", show_default="the checkpoint's")
    ] = None,
    keep_digital: Annotated[list[str] | None, typer.Option(help="Layer path or pattern that stays digital.")] = None,
    engine: Annotated[str, typer.Option(help="fast, or aihwkit: the tile's own forward.")] = "fast",
    bf16: Annotated[bool, typer.Option("--bf16/--no-bf16", help="Products of perfect converters in bfloat16.")] = False,
    batch_size: Annotated[int, typer.Option(help="Images a batch.")] = 250,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads.", show_default="torch's own choice")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Accuracy in percent for lifetime and yield.", show_default="1, 2, 5, 10 below digital"),
    ] = None,
    format: Annotated[Format, typer.Option(help="How the tables are printed, as for report.")] = Format.TEXT,
    table: Annotated[
        str | None, typer.Option(help="Print only the tables of this name, as for report.", metavar="NAME")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for run folders and report.html; rerun the same command to resume.")
    ] = Path("runs/compare"),
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write report.html into --out.")] = True,
) -> None:
    from analog_samson.report.command import check_threshold
    from analog_samson.runtime.installation import check_installation

    check_threshold(threshold)
    check_installation()
    given: dict[str, Any] = {
        "data": data,
        "times": parse_times(times),
        "instances": instances,
        "seed": seed,
        "sigmas": parse_sigmas(sigmas),
        "limit": limit,
        "adabs": adabs,
        "calibration_data": calibration_data,
        "calibration_limit": calibration_limit,
        "input_range": input_range,
        "normalization": normalization,
        "keep_digital": tuple(keep_digital or ()),
        "engine": engine,
        "bf16": bf16,
        "batch_size": batch_size,
        "device": device,
        "threads": threads,
    }
    if runs:
        _refuse_both(typed_options(context, ["checkpoint", "label", "model", "preset", "preset_dir", *given]))
        folders = runs
    else:
        presets = [resolve_preset(name, preset_dir) for name in preset or ["pcm_nandakumar_2019"]]
        typed = typed_options(context, given)
        refuse_idle_calibration("compare", typed, presets, adabs=adabs)
        refuse_idle_input_range("compare", typed, presets)
        folders = _simulate(_cells(checkpoint or [], label or [], model or [], presets, given, out))
    _report(folders, format.value, out, html=html, threshold=threshold, table=table)


compare.__doc__ = f"""Compare checkpoints on presets over time: same chips, paired differences, one page.

Every checkpoint on every preset is a run folder below --out; a run that was stopped goes on. Or give run folders that
exist; runs on different data, limits, calibration images or seeds are refused with the difference.

{EXAMPLE}
"""


def _cells(
    checkpoints: Sequence[str],
    labels: Sequence[str],
    models: Sequence[str],
    presets: Sequence[str],
    given: dict[str, Any],
    out: Path,
) -> "list[ComparisonCell]":
    """What is to be simulated; OptionError with every fault in the way checkpoints, names and models are given."""
    from analog_samson.simulation.comparison import plan_comparison
    from analog_samson.simulation.options import SimulateOptions
    from analog_samson.simulation.sweep import parse_checkpoints

    faults = [] if checkpoints else ["--checkpoint: give one or more, or run folders that exist"]
    if given["data"] is None:
        faults.append("--data: missing")
    if labels and len(labels) != len(checkpoints):
        faults.append(f"--label: {len(labels)} names for {len(checkpoints)} checkpoints; give one for each, or none")
    if len(models) > 1 and len(models) != len(checkpoints):
        faults.append(f"--model: {len(models)} names for {len(checkpoints)} checkpoints; give one for all or one each")
    if faults:
        raise OptionError(list_faults("compare", faults))
    texts = [f"{name}={path}" for name, path in zip(labels, checkpoints, strict=True)] if labels else checkpoints
    named = parse_checkpoints(texts)
    each: list[str | None] = [*models] * (len(named) if len(models) == 1 else 1) or [None] * len(named)
    described = {name: (path, model) for (name, path), model in zip(named.items(), each, strict=True)}
    base = SimulateOptions(checkpoint="", preset="", **given)
    return plan_comparison(base, described, presets, out)


def _refuse_both(typed: Sequence[str]) -> None:
    if typed:
        raise OptionError(f"compare: run folders and {as_options(typed)} exclude each other; a run has its own")


def _simulate(cells: "list[ComparisonCell]") -> list[Path]:
    """Run all cells with a progress bar; says beforehand how many evaluations there are."""
    from analog_samson.cli.progress import cell_progress
    from analog_samson.simulation.comparison import count_comparison, run_comparison

    command = shlex.join(["analog-samson", *sys.argv[1:]])
    count = count_comparison(cells)
    typer.echo(f"{len(cells)} simulations, {count} evaluations; what is stored already is not repeated", err=True)
    with cell_progress(count) as progress:
        run_comparison(cells, command=command, progress=progress)
    return [cell.folder for cell in cells]


def _report(
    folders: list[Path], format: str, out: Path, *, html: bool, threshold: float | None, table: str | None
) -> None:
    from analog_samson.report.command import make_report
    from analog_samson.report.page import PAGE_NAME
    from analog_samson.simulation.comparison import compare_runs

    compare_runs(folders)  # refuses what cannot be compared, before anything is written
    page = out / PAGE_NAME
    text = make_report(folders, format, out=page, html=html, say=_say, threshold=threshold, table=table)
    typer.echo(text, nl=False)


def _say(text: str) -> None:
    typer.echo(text, err=True)
