"""`analog-samson presets list | show | check | fit`: look at hardware presets, test one's own, make one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.helping import HelpfulCommand
from analog_samson.cli.presets_fit import fit
from analog_samson.cli.shared import PresetFolders
from analog_samson.options import Options, option
from analog_samson.simulation.options import DEFAULT_TIMES, Times

if TYPE_CHECKING:
    from analog_samson.presets import Preset

app = typer.Typer(
    help="Look at the hardware presets; check a file of your own; make one from measurements.",
    no_args_is_help=True,
    add_completion=False,
)


class ListPresets(PresetFolders):
    """Print one line per preset: name, technology, year, kind of evidence, summary."""

    NAME = "presets list"


class ShowPreset(PresetFolders):
    """Print every value of a preset with unit and meaning, its source, and how far its devices are from target."""

    NAME = "presets show"

    preset: Annotated[str, option("Name of a preset, or a .toml file.", metavar="NAME|FILE", is_argument=True)]
    times: Annotated[Times, option("Times after programming at which devices are drawn.")] = DEFAULT_TIMES
    plot: Annotated[
        Path | None, option("Draw the errors of its devices as a picture too, .svg or .png.", metavar="FILE")
    ] = None


@takes(ListPresets, "analog-samson presets list --preset-dir my_presets")
def list_(given: Given) -> None:
    from analog_samson.presets.search import list_presets
    from analog_samson.report.preset_text import presets_text

    print(presets_text(list_presets(ListPresets.from_text(given).preset_dir)))


@takes(ShowPreset, "analog-samson presets show pcm_nandakumar_2019 --plot error.svg")
def show(given: Given) -> None:
    from analog_samson.presets.search import load_preset, load_resolved
    from analog_samson.report.preset_text import preset_text

    options = ShowPreset.from_text(given)
    found = load_preset(options.preset)
    if options.plot is not None:
        _check_plot(options.plot)
    print(
        preset_text(found, load_resolved(options.preset)),
        "",
        _errors_text(found, options.times, options.plot),
        sep="\n",
    )


def _check_plot(plot: Path) -> None:
    """Raise where the picture cannot be written, before anything is printed."""
    from analog_samson.errors import RunError
    from analog_samson.report.device_error import check_format

    check_format(plot.suffix.removeprefix("."))
    if not plot.parent.is_dir():
        raise RunError(f"--plot {plot}: no folder {plot.parent}; make it, or choose another place")


def _errors_text(found: "Preset", times: Sequence[float], plot: Path | None) -> str:
    """How far devices are from target, as a table, and in a picture where `plot` names one."""
    from analog_samson.chip.device.error_curve import conductance_error
    from analog_samson.presets.validity import validity_of
    from analog_samson.report.device_error import error_picture, error_table
    from analog_samson.report.preset_text import aligned
    from analog_samson.results.atomic import write_atomically

    draws, validity = 2000, validity_of(found.model_dump(mode="json"))
    curves = conductance_error(found, times, seed=0, draws=draws)
    lines = [f"g - g_target [uS] of one device, mean +- standard deviation of {draws:,} draws, not compensated:", ""]
    lines.append(aligned(error_table(curves, validity)))
    if plot is not None:
        write_atomically(plot, error_picture(curves, validity, plot.suffix.removeprefix(".")))
        lines += ["", f"wrote {plot}"]
    return "\n".join(lines)


class CheckPresets(Options):
    """Check preset files; report every problem of every file and exit with 1 if there is any."""

    NAME = "presets check"

    files: Annotated[tuple[Path, ...], option("Preset files (.toml).", metavar="FILE", is_argument=True, min_length=1)]


@takes(CheckPresets, "analog-samson presets check my_pcm.toml")
def check(given: Given) -> None:
    from analog_samson.errors import PresetError
    from analog_samson.presets.search import read_preset

    faults = []
    for file in CheckPresets.from_text(given).files:
        try:
            preset = read_preset(file)
        except PresetError as error:
            faults.append(str(error))
        else:
            typer.echo(f"{file}: ok ({preset.name}, fingerprint {preset.fingerprint[:12]})")
    if faults:
        raise PresetError("\n".join(faults))


for name, command in (("list", list_), ("show", show), ("check", check), ("fit", fit)):
    app.command(name, cls=HelpfulCommand)(command)
