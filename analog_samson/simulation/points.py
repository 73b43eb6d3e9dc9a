"""What a sweep varies: numbers of the preset, options of simulation and training; a grid, a list or random draws."""

import csv
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import get_origin

from analog_samson.errors import OptionError, did_you_mean, list_faults
from analog_samson.models.own_code import code_fault, is_code
from analog_samson.options import plain_type, written
from analog_samson.presets.changes import parse_number
from analog_samson.presets.leaves import check_leaf, leaves
from analog_samson.presets.search import load_preset
from analog_samson.rng import derive_seed
from analog_samson.simulation.options import VOLATILE, SimulationOptions
from analog_samson.simulation.stored_options import CODE
from analog_samson.simulation.training_files import VARIED, variable_options

Point = Mapping[
    str, str
]  # text by path of a number of the preset, name of an option, or VARIED and the name of one of `train`
EXAMPLE = "expected NAME=VALUE,VALUE,..., such as periphery.adc_bits=4,6,8 or input_range=max,output_error"
_VARIABLE = sorted(set(SimulationOptions.model_fields) - {*VOLATILE, "data"})
_GEOMETRIC = 4  # from this ratio of the ends on, the logarithm is drawn uniformly
_DIGITS = 3  # of a drawn value, so that names and tables stay readable


def plan_points(
    vary: Sequence[str], *, file: Path | None = None, draws: int | None = None, presets: Sequence[str], seed: int
) -> list[Point]:
    """The points of a sweep, in order; one that changes nothing where nothing is varied.

    Args:
        vary: NAME=VALUE,VALUE,... each; NAME=LOW..HIGH too with `draws`.
        file: CSV file with a point a row and a name a column, in place of `vary`.
        draws: How many points of the grid or the ranges to draw; None for the whole grid.
        presets: That are simulated; each must have the numbers that are varied.
        seed: Names the draws.

    Raises:
        OptionError: With every name and value that is wrong.
    """
    if file is not None:
        points = _listed(file)
        _check_names(list(points[0]), presets)
        return points
    axes = [_axis(text, ranges=draws is not None) for text in vary]
    names = [name for name, _ in axes]
    if twice := {name for name in names if names.count(name) > 1}:
        raise OptionError(f"--vary {', '.join(sorted(twice))}: given twice; list all values behind one name")
    _check_names(names, presets)
    if draws is None:
        return [dict(zip(names, values, strict=True)) for values in product(*(choices for _, choices in axes))]
    return _drawn(axes, draws, presets[0], random.Random(derive_seed(seed, "sweep points")))


def split_point(point: Point) -> tuple[dict[str, str], dict[str, object]]:
    """The changes of the preset, and the options as `Options.from_text` takes them."""
    changes = {name: value for name, value in point.items() if "." in name and not name.startswith(VARIED)}
    options: dict[str, object] = {}
    for name, value in point.items():
        if "." not in name:
            field = SimulationOptions.model_fields[name]
            is_repeated = get_origin(plain_type(field)) is tuple and written(field) is None
            options[name] = [value] if is_repeated else value
    return changes, options


def _axis(text: str, *, ranges: bool) -> tuple[str, list[str]]:
    """A name and its values as text; a range is one value with two dots."""
    name, equals, values = (part.strip() for part in text.partition("="))
    found = [value.strip() for value in values.split(",")]
    if not (equals and name) or not all(found):
        raise OptionError(f"--vary {text!r}: {EXAMPLE}")
    if any(".." in value for value in found) and not (ranges and len(found) == 1 and "." in name):
        raise OptionError(
            f"--vary {text!r}: a range LOW..HIGH of a number needs --random N; without it list the values"
        )
    if len({*found}) < len(found):
        raise OptionError(f"--vary {text!r}: a value is given twice")
    return name, found


def _listed(file: Path) -> list[Point]:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines))
    except (OSError, ValueError, csv.Error) as error:
        raise OptionError(f"--vary-list {file}: cannot be read as CSV ({error})") from error
    names, points = [name.strip() for name in rows[0]] if rows else [], [row for row in rows[1:] if row]
    if not names or not points or any(len(row) != len(names) for row in points) or len({*names}) < len(names):
        raise OptionError(f"--vary-list {file}: expected a line of distinct names, then as many values on each line")
    found: list[Point] = [{name: value.strip() for name, value in zip(names, row, strict=True)} for row in points]
    code = [(name, one[name]) for one in found for name in CODE if name in one and is_code(one[name], CODE[name])]
    if code:
        raise OptionError(list_faults(f"--vary-list {file}", [code_fault(*each) for each in dict.fromkeys(code)]))
    return found


def _check_names(names: Sequence[str], presets: Sequence[str]) -> None:
    faults = []
    for name in names:
        if name.startswith(VARIED):
            known = [f"{VARIED}{option}" for option in variable_options()]
            if name not in known:
                faults.append(f"{name}: no option of `train` that can vary{did_you_mean(name, known)}")
        elif "." not in name and name not in _VARIABLE:
            hint = did_you_mean(name, _VARIABLE) or f"; expected one of {', '.join(_VARIABLE)}"
            faults.append(f"{name}: neither a number of a preset (section.key) nor an option that can vary{hint}")
    for preset in map(load_preset, presets):
        for name in (name for name in names if "." in name and not name.startswith(VARIED)):
            try:
                check_leaf(preset, name)
            except OptionError as error:
                faults.append(str(error))
    if faults:
        raise OptionError(list_faults("sweep: what is varied", faults))


def _drawn(axes: Sequence[tuple[str, list[str]]], draws: int, preset: str, draw: random.Random) -> list[Point]:
    """Distinct points, as many as there are up to `draws`."""
    found: dict[tuple[str, ...], None] = {}
    samplers = [_sampler(name, values, preset, draw) for name, values in axes]
    for _ in range(100 * draws):
        found.setdefault(tuple(next(sampler) for sampler in samplers))
        if len(found) == draws:
            break
    return [dict(zip((name for name, _ in axes), values, strict=True)) for values in found]


def _sampler(name: str, values: list[str], preset: str, draw: random.Random) -> Iterator[str]:
    """Values of one axis, drawn independently."""
    low_text, dots, high_text = values[0].partition("..")
    if not dots:
        while True:
            yield draw.choice(values)
    own = _kind(name) if name.startswith(VARIED) else leaves(load_preset(preset))[name]
    low, high = parse_number(low_text, name, own), parse_number(high_text, name, own)
    if low >= high:
        raise OptionError(f"--vary {name}: expected LOW below HIGH, got {values[0]!r}")
    while True:
        if isinstance(own, int):
            yield str(draw.randint(int(low), int(high)))
        elif low > 0 and high >= _GEOMETRIC * low:
            yield f"{math.exp(draw.uniform(math.log(low), math.log(high))):.{_DIGITS}g}"
        else:
            yield f"{draw.uniform(low, high):.{_DIGITS}g}"


def _kind(name: str) -> float:
    """A number of the type of an option of `train`. Raises OptionError for an option that is no number."""
    kind = plain_type(variable_options()[name.removeprefix(VARIED)])
    if kind not in (int, float):
        raise OptionError(f"--vary {name}: a range LOW..HIGH is for numbers; list the values")
    return float(kind()) if kind is float else 0
