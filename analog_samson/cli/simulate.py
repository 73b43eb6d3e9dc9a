"""`analog-samson simulate`: accuracy of a checkpoint over time on a hardware preset."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analog_samson.cli.idle import INPUT_RANGE_HELP, refuse_idle_calibration, refuse_idle_input_range
from analog_samson.cli.preset_dirs import PresetDirs, resolve_preset
from analog_samson.cli.typed import as_options, typed_options
from analog_samson.errors import OptionError
from analog_samson.units import parse_duration, parse_times

if TYPE_CHECKING:
    from analog_samson.simulation.error_budget import ErrorBudgetOptions
    from analog_samson.simulation.options import SimulateOptions

EXAMPLE = """Example:

analog-samson simulate --model resnet20 --checkpoint resnet20.th --data cifar10:DIR \
--preset pcm_nandakumar_2019 --times 1s,1h,1d,1y --instances 10 --out runs/r20
"""


def simulate(
    context: typer.Context,
    checkpoint: Annotated[
        str | None, typer.Option(help="Checkpoint: .safetensors, .pt, .pth, .th or zoo:NAME.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Test data: digits, cifar10:DIR, cifar100:DIR, npz:FILE, folder:DIR.")
    ] = None,
    preset: Annotated[str, typer.Option(help="Hardware preset, by name or TOML file.")] = "pcm_nandakumar_2019",
    preset_dir: PresetDirs = None,
    model: Annotated[
        str | None, typer.Option(help="Model name, if the checkpoint does not say it.", show_default=False)
    ] = None,
    times: Annotated[str, typer.Option(help="Times after programming (units s m h d w y).")] = "1s,1h,1d,1y",
    instances: Annotated[int, typer.Option(help="Simulated chips, each programmed once.")] = 10,
    target_halfwidth: Annotated[
        float | None,
        typer.Option(help="Add chips until the 95 % interval of every time is this narrow (points of accuracy)."),
    ] = None,
    max_instances: Annotated[int, typer.Option(help="With --target-halfwidth: never more chips than this.")] = 100,
    seed: Annotated[int, typer.Option(help="Equal seeds meet equal devices, for every checkpoint of a network.")] = 0,
    sigmas: Annotated[
        str, typer.Option(help="Gaussian conductance model: values of sigma_c, or `none`.")
    ] = "0,0.1,0.2,0.3,0.4,0.5",
    limit: Annotated[int | None, typer.Option(help="Use the first N test images.")] = None,
    adabs: Annotated[bool, typer.Option("--adabs", help="Also with batch-norm statistics adapted (AdaBS).")] = False,
    calibration_data: Annotated[
        str | None, typer.Option(help="Images for AdaBS and input ranges; default: training split of --data.")
    ] = None,
    calibration_limit: Annotated[int, typer.Option(help="Use the first N calibration images.")] = 1000,
    calibration_augment: Annotated[
        bool,
        typer.Option(
            "--augment-calibration/--plain-calibration", help="Crop and flip colour calibration images, as in training."
        ),
    ] = True,
    input_range: Annotated[str, typer.Option(help=INPUT_RANGE_HELP)] = "output_error",
    normalization: Annotated[
        str | None,
        typer.Option(help="imagenet, cifar10, unit or m1,m2,m3/s1,s2,s3; default: the checkpoint's."),
    ] = None,
    keep_digital: Annotated[list[str] | None, typer.Option(help="Layer path or pattern that stays digital.")] = None,
    engine: Annotated[str, typer.Option(help="fast, or aihwkit: the tile's own forward.")] = "fast",
    bf16: Annotated[
        bool, typer.Option("--bf16/--no-bf16", help="Products of perfect converters in bfloat16: half the time.")
    ] = False,
    batch_size: Annotated[int, typer.Option(help="Images a batch.")] = 250,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: torch's own choice.")] = None,
    label: Annotated[str | None, typer.Option(help="Name of this checkpoint in tables and figures.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Take every option but --device and --threads from the run.toml of another run; repeat --model and "
            "--data where they name code of yours."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Run folder; the same command continues a run that was stopped.")] = Path(
        "runs/simulate"
    ),
    html: Annotated[bool, typer.Option("--html/--no-html", help="Write report.html into the run folder.")] = True,
    threshold: Annotated[
        float | None,
        typer.Option(help="Accuracy in percent for lifetime and yield.", show_default="1, 2, 5, 10 below digital"),
    ] = None,
    error_budget: Annotated[
        bool, typer.Option("--error-budget", help="Also evaluate what hurts, where, and what helps, at one time.")
    ] = False,
    error_budget_time: Annotated[
        str | None, typer.Option(help="With --error-budget: the time.", show_default="the last of --times")
    ] = None,
    error_budget_instances: Annotated[
        int | None, typer.Option(help="With --error-budget: at most so many chips.", show_default="10")
    ] = None,
    error_budget_limit: Annotated[
        int | None, typer.Option(help="With --error-budget: at most so many test images.", show_default="1000")
    ] = None,
) -> None:
    if not error_budget:
        _refuse_unused(
            error_budget_time=error_budget_time,
            error_budget_instances=error_budget_instances,
            error_budget_limit=error_budget_limit,
        )
    given = {
        "checkpoint": checkpoint,
        "data": data,
        "preset": resolve_preset(preset, preset_dir),
        "model": model,
        "times": parse_times(times),
        "instances": instances,
        "target_halfwidth": target_halfwidth,
        "max_instances": max_instances,
        "seed": seed,
        "sigmas": parse_sigmas(sigmas),
        "limit": limit,
        "adabs": adabs,
        "calibration_data": calibration_data,
        "calibration_limit": calibration_limit,
        "calibration_augment": calibration_augment,
        "input_range": input_range,
        "normalization": normalization,
        "keep_digital": tuple(keep_digital or ()),
        "engine": engine,
        "bf16": bf16,
        "batch_size": batch_size,
        "device": device,
        "threads": threads,
        "label": label,
    }
    from analog_samson.report.command import check_threshold, make_report
    from analog_samson.runtime.installation import check_installation
    from analog_samson.simulation.error_budget import ErrorBudgetOptions

    check_installation()
    check_threshold(threshold)
    typed = typed_options(context, [*given, "preset_dir"])
    options = _options(given, config, typed)
    presets, remedy = [options.preset], "--adabs or --error-budget"
    refuse_idle_input_range("simulate", typed, presets)
    if not error_budget:
        refuse_idle_calibration("simulate", typed, presets, adabs=options.adabs, remedy=remedy)
    at = None if error_budget_time is None else parse_duration(error_budget_time)
    asked: dict[str, Any] = {"time_seconds": at, "instances": error_budget_instances, "limit": error_budget_limit}
    settings = ErrorBudgetOptions(**{name: value for name, value in asked.items() if value is not None})
    _simulate(options, out, config)
    if error_budget:
        _error_budget(options, out, settings)
    print(make_report([out], "text", out=None, html=html, say=print, threshold=threshold), end="")


simulate.__doc__ = f"Accuracy of a checkpoint over time on a hardware preset, with a report.\n\n{EXAMPLE}"


def _refuse_unused(**given: object) -> None:
    """OptionError for options that only --error-budget reads, where it is not given."""
    names = as_options(name for name, value in given.items() if value is not None)
    if names:
        raise OptionError(f"simulate: {names} would do nothing without --error-budget; give it too")


def _simulate(options: "SimulateOptions", out: Path, config: Path | None) -> None:
    """Simulate with a progress bar."""
    from analog_samson.cli.progress import cell_progress
    from analog_samson.results.runfile import repeated_run
    from analog_samson.runtime.devices import bfloat16_notes, find_device
    from analog_samson.simulation.options import count_cells
    from analog_samson.simulation.run import run_simulation

    for note in bfloat16_notes(options.bf16, find_device(options.device)):
        typer.echo(note, err=True)
    command = shlex.join(["analog-samson", *sys.argv[1:]])
    repeats = None if config is None else repeated_run(config)
    with (
        cell_progress(count_cells(options)) as progress,
        run_simulation(options, out, repeats=repeats, command=command, progress=progress) as run,
    ):
        typer.echo(f"normalization {run.meta('checkpoint')['normalization']}", err=True)


def _error_budget(options: "SimulateOptions", out: Path, settings: "ErrorBudgetOptions") -> None:
    """Say what it will cost, then evaluate the variants of the run with a progress bar."""
    from analog_samson.cli.progress import cell_progress
    from analog_samson.simulation.error_budget import open_error_budget

    with open_error_budget(options, out, settings) as budget:
        typer.echo(budget.cost(), err=True)
        with cell_progress(budget.missing) as progress:
            budget.finish(progress)


def _options(given: dict[str, Any], config: Path | None, typed: Sequence[str]) -> "SimulateOptions":
    from analog_samson.simulation.options import VOLATILE, SimulateOptions

    if config is not None:
        options = _configured(given, config, typed)
        return replace(options, **{name: given[name] for name in typed if name in VOLATILE or name == "model"})
    if "max_instances" in typed and given["target_halfwidth"] is None:
        raise OptionError("simulate: --max-instances would do nothing without --target-halfwidth; give it too")
    missing = [f"--{name}" for name in ("checkpoint", "data") if given[name] is None]
    if missing:
        raise OptionError(f"simulate: missing {' and '.join(missing)} (or give --config RUN/run.toml)")
    return SimulateOptions(**given)


def _configured(given: dict[str, Any], config: Path, typed: Sequence[str]) -> "SimulateOptions":
    """The options of another run. Options that name code may be repeated, for only the user can have code run."""
    from analog_samson.simulation.options import CODE, VOLATILE, read_config

    repeated = {name: given[name] for name in CODE if name in typed}
    options = read_config(config, trusted=repeated.values())
    lost = as_options(name for name in typed if name not in (*VOLATILE, *CODE))
    if lost:
        raise OptionError(f"simulate: {lost} beside --config, which takes every option from that run")
    for name, value in repeated.items():
        stored = getattr(options, name)
        if stored != value and (name, stored) != ("model", None):  # whose checkpoint named the network
            option = as_options([name])
            raise OptionError(
                f"simulate: {option} {value} beside --config, whose run has {stored or 'none'}; leave {option} out"
            )
    return options


def parse_sigmas(text: str) -> tuple[float, ...]:
    if text.strip() in ("", "none"):
        return ()
    try:
        return tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError:
        raise OptionError(f"--sigmas {text!r}: expected numbers such as 0,0.1,0.2 or `none`") from None
