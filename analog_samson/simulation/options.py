"""Everything that decides the numbers of a simulation, and how a run folder gives it back."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from math import inf
from pathlib import Path
from typing import Any
from unicodedata import category

from pydantic import TypeAdapter, ValidationError

from analog_samson.chip.convert import ENGINES
from analog_samson.chip.input_ranges import OUTPUT_ERROR, STD, check_method, needs_calibration
from analog_samson.data.sources import SOURCES
from analog_samson.errors import OptionError, RunError, did_you_mean, list_faults
from analog_samson.models.own_code import MODEL_LIBRARIES, code_fault, is_code
from analog_samson.presets.faults import kind_faults
from analog_samson.presets.schema import Preset
from analog_samson.results.runfile import options_file, read_options
from analog_samson.simulation.drift import extent_faults

VOLATILE = ("device", "threads")
# Options that may name package.module:callable, and what precedes a colon in them without meaning code.
CODE: Mapping[str, Collection[str]] = {"model": MODEL_LIBRARIES, "data": SOURCES, "calibration_data": SOURCES}
BEFORE = {"input_range": STD}  # what runs did that do not store an option, for it did not exist yet
_UNWRITABLE = ("Cc", "Cs")  # control characters, and bytes that are no text


@dataclass(frozen=True, kw_only=True)
class SimulateOptions:
    """Everything that decides a run's numbers; stored whole in its run.toml.

    times are seconds after programming, sigmas relative conductance errors; an empty `sigmas` skips the Gaussian
    model. `limit` and `calibration_limit` take the first so many images, None takes all. calibration_augment: colour
    images for calibration are cropped and flipped as in training: the network's own statistics are of such images, and
    AdaBS on plain ones costs points. input_range: how the input ranges of converters are chosen, see
    `chip.input_ranges.choose_input_ranges`; without effect on a preset that has none.
    """

    checkpoint: str
    data: str
    preset: str
    times: tuple[float, ...]
    model: str | None = None
    label: str | None = None
    instances: int = 10
    target_halfwidth: float | None = None
    max_instances: int = 100
    seed: int = 0
    sigmas: tuple[float, ...] = ()
    limit: int | None = None
    adabs: bool = False
    calibration_data: str | None = None
    calibration_limit: int | None = 1000
    calibration_augment: bool = True
    input_range: str = OUTPUT_ERROR
    normalization: str | None = None
    keep_digital: tuple[str, ...] = ()
    engine: str = "fast"
    bf16: bool = False
    batch_size: int = 250
    device: str = "cpu"
    threads: int | None = None

    def __post_init__(self) -> None:
        faults = extent_faults(self.times, self.instances, self.target_halfwidth, self.max_instances)
        names = ("batch_size", "limit", "max_instances", "calibration_limit", "threads")
        counts = {name: getattr(self, name) for name in names}
        faults += [f"{name}: expected 1 or more, got {n}" for name, n in counts.items() if n is not None and n < 1]
        faults += [f"sigmas: expected finite numbers of 0 or more, got {s}" for s in self.sigmas if not 0 <= s < inf]
        for name, text in vars(self).items():
            if isinstance(text, str) and any(category(letter) in _UNWRITABLE for letter in text):
                faults.append(f"{name}: expected one line of text, got {text!r}")
        if problem := check_method(self.input_range):
            faults.append(problem)
        if self.engine not in ENGINES:
            faults.append(f"engine: expected one of {', '.join(ENGINES)}, got {self.engine!r}")
        if faults:
            raise OptionError(list_faults("simulate", faults))


_STORED = TypeAdapter(SimulateOptions)


def stored_options(options: SimulateOptions, preset: Preset) -> dict[str, Any]:
    """The options as a run folder stores them: without those that have no effect on this preset."""
    return asdict(options) | ({} if needs_calibration(preset) else {"input_range": None})


def read_config(path: Path, trusted: Collection[str] = ()) -> SimulateOptions:
    """The options of another run, from its folder, its run.toml or a copy.

    A run of a version that did not have an option yet gets what that version did (BEFORE).

    Args:
        trusted: Code (package.module:callable) that may be run if the file names it as model or data.

    Raises:
        RunError: The file holds anything but the options of a simulation, or names code that is not trusted.
    """
    stored = BEFORE | read_options(options_file(path))
    known = {field.name for field in fields(SimulateOptions)}
    unknown = [f"{key}: unknown option{did_you_mean(key, known)}" for key in stored if key not in known]
    if unknown:
        raise RunError(list_faults(f"{path}: not the options of a simulation", unknown))
    try:
        options = _STORED.validate_json(json.dumps(stored, default=str), strict=True)
    except ValidationError as error:
        raise RunError(list_faults(f"{path}: not the options of a simulation", kind_faults(error))) from None
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


def count_cells(options: SimulateOptions) -> int:
    """How many evaluations a run takes, for a progress bar."""
    states = 2 if options.adabs else 1
    noisy = sum(options.instances if sigma > 0 else 1 for sigma in options.sigmas)
    return states * (options.instances * len({*options.times}) + noisy)
