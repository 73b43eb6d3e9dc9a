"""The numbers of a preset by their dotted path, and presets with some of them changed.

Where a preset describes an error by several numbers, a factor such as `programming.scale` stands for all of them:
it is no key of a file, and 1 is the preset as it is.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from analog_samson.errors import OptionError, did_you_mean
from analog_samson.presets.ablation import STRENGTHS
from analog_samson.presets.schema import Preset, parse_preset

_NO_PHYSICS = ("schema", "name", "title", "summary", "source", "validity", "cost")


class Factor(NamedTuple):
    """A factor on several numbers of a section: those that its model lists as strengths and whose names pass."""

    section: str
    passes: Callable[[str], bool]
    title: str


def _spread(name: str) -> bool:
    return "std" in name or name == "coefficients_microsiemens"


FACTORS: Mapping[str, Factor] = MappingProxyType(
    {
        "programming.scale": Factor("programming", lambda name: True, "programming error"),
        "drift.scale": Factor("drift", lambda name: True, "drift"),
        "drift.spread_scale": Factor("drift", _spread, "spread of drift"),
        "read.scale": Factor("read", lambda name: True, "read noise"),
    }
)


def leaves(preset: Preset) -> dict[str, float]:
    """Every number of the preset that describes the hardware, and every factor that it has, by path.

    >>> from analog_samson.presets.search import load_preset
    >>> found = leaves(load_preset("pcm_nandakumar_2019"))
    >>> found["device.g_max_microsiemens"], found["programming.scale"]
    (25.0, 1.0)
    """
    found: dict[str, float] = {}
    for section, content in preset.model_dump(mode="json").items():
        if section not in _NO_PHYSICS and isinstance(content, dict):
            found |= {
                f"{section}.{key}": value
                for key, value in content.items()
                if isinstance(value, int | float) and not isinstance(value, bool)
            }
    return found | {factor: 1.0 for factor in FACTORS if _strengths(preset, factor)}


def check_leaf(preset: Preset, path: str) -> None:
    """Raise OptionError, with the nearest names, where the preset has no number at `path`."""
    known = leaves(preset)
    if path not in known:
        model = preset.model_dump(mode="json").get(path.partition(".")[0], {})
        kind = f" with {path.partition('.')[0]}.model {model['model']!r}" if "model" in model else ""
        hint = did_you_mean(path, known) or f"; expected one of {', '.join(known)}"
        raise OptionError(f"{path}: preset {preset.name}{kind} has no such number{hint}")


def with_leaves(preset: Preset, values: Mapping[str, float], name: str, title: str = "") -> Preset:
    """A preset with other numbers, under a name of its own.

    Args:
        preset: It is not changed.
        values: By path, as `leaves` lists them.
        name: Of the new preset.
        title: What headings call it.

    Raises:
        OptionError: The preset has no such number.
        PresetError: A value, or a combination of values, that no preset can have.
    """
    mapping = preset.model_dump(mode="json") | {"name": name, "title": title}
    for path, value in values.items():
        check_leaf(preset, path)
        section, _, key = path.partition(".")
        if path in FACTORS:
            mapping[section] |= {key: _times(mapping[section][key], value) for key in _strengths(preset, path)}
        else:
            mapping[section] |= {key: value}
    return parse_preset(mapping, ", ".join(f"{path} {value:g}" for path, value in values.items()))


def _strengths(preset: Preset, factor: str) -> list[str]:
    """The keys that a factor multiplies; none where the preset's model has no such error."""
    section, passes, _ = FACTORS[factor]
    model = getattr(preset, section).model
    names = STRENGTHS[section].get(model, _REPLACING.get(model, ()))
    return [name for name in names if passes(name)]


# Not in STRENGTHS, since strength 0 is no way to keep the programmed state, but scaling is one.
_REPLACING = {"deviation_at_times": ("coefficients_microsiemens",)}


def _times(value: Any, factor: float) -> Any:
    return [_times(item, factor) for item in value] if isinstance(value, list) else value * factor
