"""Noise models of other packages in presets: what a section with their `model` says, and what silences it."""

from typing import Any, Literal, Union, get_args

from analog_samson.errors import OptionError
from analog_samson.presets.ablation import STRENGTHS
from analog_samson.presets.fields import Section
from analog_samson.presets.schema import Preset

Stage = Literal["programming", "drift", "read"]


def register_section(stage: Stage, kind: type[Section], *, strengths: tuple[str, ...]) -> None:
    """Let presets have a section of this class.

    Args:
        stage: The section's name in a preset.
        kind: A `Section` whose `model` is a Literal of one new name.
        strengths: The numbers that are 0 where the noise is off; the error budget silences it by them.

    Raises:
        OptionError: The class has no such `model`, its name is taken, or a strength is no field of it.
    """
    field = Preset.model_fields[stage]
    names = get_args(kind.model_fields["model"].annotation) if "model" in kind.model_fields else ()
    taken = [get_args(one.model_fields["model"].annotation)[0] for one in get_args(field.annotation)]
    where = f"register a model of {stage}: {kind.__name__}"
    if len(names) != 1:
        raise OptionError(f'{where}: expected a field model: Literal["its_name"]')
    if names[0] in taken:
        raise OptionError(f"{where}: the name {names[0]!r} is taken; choose another one")
    if unknown := [name for name in strengths if name not in kind.model_fields]:
        raise OptionError(f"{where}: has no field {unknown[0]!r} that could be its strength")
    allowed: Any = Union[(field.annotation, kind)]  # noqa: UP007  (a union of values, not of names)
    field.annotation = allowed
    Preset.model_rebuild(force=True)
    STRENGTHS[stage][names[0]] = strengths


def forget_section(stage: Stage, kind: type[Section]) -> None:
    """Undo `register_section`, for tests."""
    field = Preset.model_fields[stage]
    kept: Any = Union[tuple(one for one in get_args(field.annotation) if one is not kind)]  # noqa: UP007
    field.annotation = kept
    Preset.model_rebuild(force=True)
    STRENGTHS[stage].pop(get_args(kind.model_fields["model"].annotation)[0], None)
