"""What a run folder stores of a simulation's options, and how it gives them back."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from analog_samson.chip.choices import NO_SCALING, STD
from analog_samson.chip.input_ranges import needs_calibration
from analog_samson.data.samples import SAMPLES
from analog_samson.data.sources import SOURCES
from analog_samson.errors import OptionError, RunError, list_faults
from analog_samson.models.own_code import MODEL_SCHEMES, code_fault, is_code
from analog_samson.options import accepts_none
from analog_samson.presets.schema import Preset
from analog_samson.results.runfile import options_file, read_options
from analog_samson.simulation.options import VOLATILE, SimulateOptions

# Options that may name package.module:callable, and what precedes a colon in them without meaning code.
CODE: Mapping[str, Collection[str]] = {
    "model": MODEL_SCHEMES,
    "data": (*SOURCES, *SAMPLES),
    "calibration_data": (*SOURCES, *SAMPLES),
    "task": (),
}
_DECIDED = ("checkpoint", "data", "preset", "times")  # what every run stores
BEFORE: dict[str, Any] = {
    "input_range": STD,
    "input_scaling": NO_SCALING,
    "on_chip": [],
    "read_noise": "per_condition",
    "calibrate_at": None,
}  # what runs did that do not store an option, for it did not exist yet


def stored_options(options: SimulateOptions, presets: Iterable[Preset]) -> dict[str, Any]:
    """The options as a run folder stores them: without those that have no effect on these presets."""
    unused = [] if any(map(needs_calibration, presets)) else ["input_range", "input_scaling"]
    unused += ["images"] if options.images == "all" else []
    unused += ["noise_device"] if options.noise_device == "cpu" else []
    return dict(options) | dict.fromkeys(unused)


def read_config(path: Path, trusted: Collection[str] = ()) -> SimulateOptions:
    """The options of another run, from its folder, its run.toml or a copy.

    A run of a version that did not have an option yet gets what that version did (BEFORE).

    Args:
        trusted: Code (package.module:callable) that may be run if the file names it as model or data.

    Raises:
        RunError: The file holds anything but the options of a simulation, or names code that is not trusted.
    """
    stored = BEFORE | read_options(options_file(path))
    absent = {name: None for name, field in SimulateOptions.model_fields.items() if accepts_none(field)}
    foreign = f"{path}: not the options of a simulation"
    if missing := [f"{name}: missing" for name in _DECIDED if name not in stored]:
        raise RunError(list_faults(foreign, missing))
    try:
        options = SimulateOptions(**{**absent, **stored})
    except OptionError as error:
        raise RunError(f"{foreign}{str(error).removeprefix(SimulateOptions.NAME)}") from None
    _refuse_code(path, options, trusted)
    return options


def _refuse_code(path: Path, options: SimulateOptions, trusted: Collection[str]) -> None:
    """Raise RunError where the options name code that the user did not name as well."""
    named = {name: getattr(options, name) or "" for name in CODE}
    untrusted = [name for name in CODE if is_code(named[name], CODE[name]) and named[name] not in trusted]
    if untrusted:
        faults = list_faults(f"{path}", [code_fault(name, named[name]) for name in untrusted])
        again = " ".join(f"--{name.replace('_', '-')} {named[name]}" for name in untrusted)
        raise RunError(f"{faults}\n  if you trust that code, name it yourself: {again}")


def options_to_repeat(config: Path, given: Mapping[str, Any], kind: type[SimulateOptions]) -> dict[str, Any]:
    """The options of another run, for a command that repeats it.

    Args:
        config: Its folder, its run.toml or a copy.
        given: The options of the command. Those that name code are repeated beside `config`, for only the user can
            have code run; the others, but for the device, come from the run alone.
        kind: The options of the command.

    Raises:
        OptionError: An option is given that comes from the run, or with another value than the run has.
        RunError: As `read_config`.
    """
    typed = [name for name in given if name in SimulateOptions.model_fields or name == "preset_dir"]
    repeated = {name: given[name] for name in CODE if name in typed}
    options = read_config(config, trusted=repeated.values())
    lost = ", ".join(kind.typed(name) for name in typed if name not in (*VOLATILE, *CODE))
    if lost:
        raise OptionError(f"{kind.NAME}: {lost} beside --config, which takes every option from that run")
    for name, value in repeated.items():
        stored, option = getattr(options, name), kind.typed(name)
        if stored != value and (name, stored) != ("model", None):  # whose checkpoint named the network
            raise OptionError(
                f"{kind.NAME}: {option} {value} beside --config, whose run has {stored or 'none'}; leave {option} out"
            )
    return dict(options)
