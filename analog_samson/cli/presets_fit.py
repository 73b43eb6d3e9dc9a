"""`analog-samson presets fit`: a preset from readings of devices."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from re import fullmatch
from typing import Annotated, Literal

import typer
from pydantic import Field

from analog_samson.analysis.device_fit.choices import READ_PULSE_SECONDS, DriftModel
from analog_samson.cli.from_options import Given, takes
from analog_samson.options import Options, Seed, Written, option
from analog_samson.units import format_duration, parse_duration

Duration = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_WRITTEN = Written(parse_duration, format_duration, "DURATION")


class FitPreset(Options):
    """Make a preset from readings of devices: programming error, drift and read noise, with intervals.

    The CSV file has the columns device, target, time, conductance and, where readings are repeated, read. Its header
    gives units, such as "time [h]". A picture of the devices and the fit is written beside the preset.
    """

    NAME = "presets fit"

    file: Annotated[Path, option("Readings of devices.", metavar="FILE.csv", is_argument=True)]
    name: Annotated[str, option("Name of the preset.", metavar="NAME")]
    out: Annotated[Path | None, option("The preset's file.", metavar="FILE.toml", default="NAME.toml")] = None
    technology: Annotated[Literal["PCM", "ReRAM", "generic"], option("Kind of device.")] = "generic"
    citation: Annotated[str, option("Where the readings come from.", metavar="TEXT")] = "own measurements"
    t0: Annotated[
        Duration | None,
        option(
            "The t0 of g(t) = g ((t + t0) / t0)^-nu, with t as in the file. Give it where times count from the first "
            "reading, t0 after programming; leave it out where they count from programming.",
            default="t counts from the first time",
        ),
        _WRITTEN,
    ] = None
    read_pulse: Annotated[
        Duration | None,
        option("Width of the read pulse.", default=f"{READ_PULSE_SECONDS:g}s, assumed"),
        _WRITTEN,
    ] = None
    drift_model: Annotated[
        DriftModel, option("How drift depends on conductance; auto: constant or log-linear, as the data have it.")
    ] = "auto"
    drift: Annotated[bool, option("Fit drift. Without it all readings must be at one time.")] = True
    seed: Annotated[Seed, option("Decides which devices the held-out check leaves out.")] = 0

    @property
    def target(self) -> Path:
        """The file that the preset is written to."""
        return self.out or Path(f"{self.name}.toml")

    def problems(self) -> Iterator[str]:
        """Also names under which the preset could not be found."""
        from analog_samson.presets.search import is_built_in

        if not fullmatch("[a-z][a-z0-9_]*", self.name):
            yield f"--name: expected small letters, digits and _, a letter first, got {self.name!r}"
        elif is_built_in(self.name):
            yield f"--name: {self.name} is a preset of the package; choose another name"
        if self.target.name != f"{self.name}.toml":
            yield f"--out: expected a file with the preset's name, {self.name}.toml, got {self.target.name!r}"
        if self.target.exists():
            yield f"--out: {self.target} exists; remove it, or choose another name or folder"
        elif not self.target.parent.is_dir():
            yield f"--out: no folder {self.target.parent}; make it, or choose another place"
        if not self.citation.strip():
            yield "--citation: expected one line of text, got nothing"
        if not self.drift and (self.t0 is not None or self.drift_model != "auto"):
            yield "--no-drift: --t0 and --drift-model have no effect with it; leave them out"


@takes(FitPreset, "analog-samson presets fit my_devices.csv --name my_pcm --technology PCM --t0 20s")
def fit(given: Given) -> None:
    options = FitPreset.from_text(given)
    for line in _fitted(options):
        typer.echo(line)


def _fitted(options: FitPreset) -> Iterator[str]:
    """Fit, check, write; lines of text for the terminal."""
    from analog_samson.analysis.device_fit.measurements import read_measurements
    from analog_samson.analysis.device_fit.model import clock_of, fit_devices
    from analog_samson.analysis.device_fit.sections import estimates, preset_values
    from analog_samson.chip.device.held_out import check_held_out
    from analog_samson.presets.schema import parse_preset
    from analog_samson.report.device_fit_figures import fit_picture
    from analog_samson.report.fitted_preset import fit_notes, fit_table, misfit_warnings, preset_file
    from analog_samson.report.held_out import held_out_text
    from analog_samson.report.preset_text import aligned
    from analog_samson.results.atomic import write_atomically
    from analog_samson.runtime.plain_values import parse_toml

    data = read_measurements(options.file)
    pulse = READ_PULSE_SECONDS if options.read_pulse is None else options.read_pulse
    clock = clock_of(data, options.t0, pulse, drift=options.drift)
    model = fit_devices(data, clock, options.drift_model)
    values, found = preset_values(model, data, name=options.name, technology=options.technology), estimates(model)
    values["source"] |= {"citation": options.citation, "year": date.today().year}
    notes = fit_notes(model, data, t0_given=options.t0 is not None, pulse_given=options.read_pulse is not None)
    warnings = misfit_warnings(model, t0_given=options.t0 is not None)
    text = preset_file(values, found, [*notes, *warnings])
    parse_preset(parse_toml(text), str(options.target), file_stem=options.name)
    held_out = check_held_out(data, clock, options.drift_model, seed=options.seed)
    picture = fit_picture(model, held_out)
    yield aligned(fit_table(values, found))
    yield "\n" + "\n".join(notes)
    if model.misfit is not None:
        yield f"Scatter around the power laws over what read noise explains (1: the laws hold): {model.misfit:.2f}"
    yield f"\n{held_out_text(held_out)}\n"
    for path, content in ((options.target, text.encode()), (options.target.with_suffix(".png"), picture)):
        write_atomically(path, content)
        yield f"wrote {path}"
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
