"""`analog-samson presets list | show | check`: look at the hardware presets and test one's own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analog_samson.cli.preset_dirs import PresetDirs

if TYPE_CHECKING:
    from analog_samson.presets import Preset

app = typer.Typer(
    help="Look at the hardware presets; check a file of your own.", no_args_is_help=True, add_completion=False
)


@app.command("list", epilog="Example: analog-samson presets list --preset-dir my_presets")
def list_(preset_dir: PresetDirs = None) -> None:
    """Print one line per preset: name, technology, year, kind of evidence, summary."""
    from analog_samson.presets.search import list_presets

    rows = [("NAME", "TECHNOLOGY", "YEAR", "EVIDENCE", "SUMMARY")]
    for preset in list_presets(preset_dir or ()):
        source = preset.source
        rows.append((preset.name, preset.device.technology, str(source.year), source.kind, preset.summary))
    _print_table(rows)


@app.command(epilog="Example: analog-samson presets show pcm_nandakumar_2019 --plot error.svg")
def show(
    preset: Annotated[str, typer.Argument(metavar="NAME|FILE", help="Name of a preset, or a .toml file.")],
    preset_dir: PresetDirs = None,
    times: Annotated[str, typer.Option(help="Times after programming at which devices are drawn.")] = "1s,1h,1d,1y",
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the errors of its devices as a picture too, .svg or .png."),
    ] = None,
) -> None:
    """Print every value of a preset with its unit and meaning, its source, and how far its devices are from target."""
    from analog_samson.presets.search import load_preset
    from analog_samson.units import parse_times

    moments, found = parse_times(times), load_preset(preset, preset_dir or ())
    if plot is not None:
        _check_plot(plot)
    _print_values(found)
    _print_errors(found, moments, plot)


def _check_plot(plot: Path) -> None:
    """Raise where the picture cannot be written, before anything is printed."""
    from analog_samson.errors import RunError
    from analog_samson.report.device_error import check_format

    check_format(plot.suffix.removeprefix("."))
    if not plot.parent.is_dir():
        raise RunError(f"--plot {plot}: no folder {plot.parent}; make it, or choose another place")


def _print_values(found: "Preset") -> None:
    from analog_samson.presets.describe import describe

    typer.echo(f"{found.name}: {found.summary}\nfingerprint (sha256) {found.fingerprint}\n")
    table = [("KEY", "VALUE", "UNIT", "MEANING")]
    for row in describe(found):
        if row.path.startswith("source."):
            typer.echo(f"{row.path.removeprefix('source.')}: {row.value}")
        else:
            table.append((row.path, row.value, row.unit, row.meaning))
    typer.echo("")
    _print_table(table)


def _print_errors(found: "Preset", times: Sequence[float], plot: Path | None) -> None:
    from analog_samson.chip.device.error_curve import conductance_error
    from analog_samson.presets.validity import validity_of
    from analog_samson.report.device_error import error_picture, error_table
    from analog_samson.results.atomic import write_atomically

    draws, validity = 2000, validity_of(found.model_dump(mode="json"))
    curves = conductance_error(found, times, seed=0, draws=draws)
    if plot is not None:
        write_atomically(plot, error_picture(curves, validity, plot.suffix.removeprefix(".")))
    typer.echo(f"\ng - g_target [uS] of one device, mean +- standard deviation of {draws:,} draws, not compensated:\n")
    _print_table(error_table(curves, validity))
    if plot is not None:
        typer.echo(f"\nwrote {plot}")


@app.command(epilog="Example: analog-samson presets check my_pcm.toml")
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Preset files (.toml).")],
) -> None:
    """Check preset files; report every fault of every file and exit with 1 if there is any."""
    from analog_samson.errors import PresetError
    from analog_samson.presets.search import read_preset

    faults = []
    for file in files:
        try:
            preset = read_preset(file)
        except PresetError as error:
            faults.append(str(error))
        else:
            typer.echo(f"{file}: ok ({preset.name}, fingerprint {preset.fingerprint[:12]})")
    if faults:
        raise PresetError("\n".join(faults))


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columns padded to their widest cell; the last one runs free."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        typer.echo("  ".join([*cells, row[-1]]).rstrip())
