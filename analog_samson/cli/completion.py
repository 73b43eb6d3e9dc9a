"""What the Tab key offers for the value of an option: presets, networks of the zoo, models, choices and files."""

from collections.abc import Callable, Iterable, Sequence
from glob import glob
from pathlib import Path


def completions(name: str, choices: Sequence[str]) -> Callable[[str], list[str]] | None:
    """A function from the beginning of a word to the values of an option; None leaves it to the shell.

    Args:
        name: The field of the option.
        choices: Its values, where they are fixed.
    """
    find = _VALUES.get(name)
    if find is None and not choices:
        return None

    def offer(incomplete: str) -> list[str]:  # typer asks for this name
        values = [value for value in (find() if find else choices) if value.startswith(incomplete)]
        return values + (_files(incomplete) if find else [])

    return offer


def _presets() -> Iterable[str]:
    from analog_samson.presets.search import find_preset_files

    return sorted(find_preset_files())


def _zoo() -> Iterable[str]:
    from analog_samson.models.zoo.search import zoo_names

    return [f"zoo:{name}" for name in zoo_names()]


def _models() -> Iterable[str]:
    from analog_samson.models.build import MODELS

    return sorted(MODELS)


def _files(begun: str) -> list[str]:
    return [path + "/" * Path(path).is_dir() for path in sorted(glob(f"{begun}*"))] if begun else []


_VALUES: dict[str, Callable[[], Iterable[str]]] = {
    "preset": _presets,
    "checkpoint": _zoo,
    "checkpoints": _zoo,
    "from_checkpoint": _zoo,
    "distill": _zoo,
    "model": _models,
}
