"""Preset files that name another one as their `base`: they hold what differs, and mean the whole."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analog_samson.errors import PresetError, list_faults

BASE = "base"
_OWN = ("schema", "name", "title", "summary")  # what every file says itself


@dataclass(frozen=True, slots=True)
class Resolved:
    """A parsed preset file with what it takes from its base.

    Attributes:
        mapping: The whole preset, without the key `base`.
        base: The name of the base; "" for a file without one.
        overrides: Dotted paths of the values that the file has itself, but for name, title and summary.
    """

    mapping: Mapping[str, Any]
    base: str = ""
    overrides: tuple[str, ...] = ()


def resolve(
    mapping: Mapping[str, Any],
    where: str,
    find: Callable[[str], tuple[Mapping[str, Any], str]],
    names: tuple[str, ...] = (),
) -> Resolved:
    """The preset that a file means.

    A section of the file replaces values of the same section of its base. With another `model` it replaces all of them.

    Args:
        mapping: The parsed file.
        where: What messages call it.
        find: The parsed file of a name and what messages call that; raises PresetError where there is none.
        names: The files that led here.

    Raises:
        PresetError: The base is missing or no name, or comes back to the file.
    """
    if BASE not in mapping:
        return Resolved(mapping)
    base, own = mapping[BASE], {key: value for key, value in mapping.items() if key != BASE}
    if not isinstance(base, str):
        raise PresetError(list_faults(where, [f"base: expected the name of a preset, got {base!r}"]))
    chain = (*names, str(own.get("name", where)))
    if base in chain:
        raise PresetError(list_faults(where, [f"base: {' -> '.join((*chain, base))} has no beginning"]))
    try:
        content, place = find(base)
    except PresetError as error:
        raise PresetError(list_faults(where, [f"base: {error}"])) from None
    inherited = resolve(content, place, find, chain).mapping
    whole = {key: value for key, value in inherited.items() if key not in _OWN}
    for key, value in own.items():
        whole[key] = _merged(whole.get(key), value)
    return Resolved(whole, base, tuple(_paths(own)))


def _merged(inherited: Any, own: Any) -> Any:
    if not isinstance(inherited, dict) or not isinstance(own, dict):
        return own
    another = "model" in own and own["model"] != inherited.get("model")
    return own if another else {**inherited, **own}


def _paths(own: Mapping[str, Any]) -> list[str]:
    return [
        f"{section}.{key}" if key else section
        for section, values in own.items()
        if section not in _OWN
        for key in (values if isinstance(values, dict) else ("",))
    ]
