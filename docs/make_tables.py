"""Write the tables of the pages that are made from the code, between their marks; a test checks them.

Command: python docs/make_tables.py
"""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args

from pydantic_core import PydanticUndefined

from analog_samson.cli.from_options import default_text, fields_of, meaning, metavar
from analog_samson.cli.simulate import SimulateCommand
from analog_samson.cli.train import TrainCommand
from analog_samson.models.build import MODELS
from analog_samson.options import shown
from analog_samson.presets import Preset, list_presets
from analog_samson.presets.fields import Expected, Section
from analog_samson.sharpness.methods import METHODS
from analog_samson.sharpness.selection import SELECTIONS
from analog_samson.training import TrainOptions
from analog_samson.units import format_duration

DOCS = Path(__file__).parent
# <!-- table: NAME -->, the table, <!-- end of table -->
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)


def with_tables(page: str) -> str:
    """The text of a page with the present tables between its marks; an unknown name raises KeyError."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}\n\n{found[4]}", page)


def presets_table() -> str:
    """One line per built-in preset: what it has of each kind of imperfection, and how far its source reaches."""
    head = ("preset", "device", "programming", "drift", "read noise", "periphery", "compensation", "valid to")
    return _table(head, [_preset_row(preset) for preset in list_presets()])


def _preset_row(preset: Preset) -> tuple[str, ...]:
    models = [section.model for section in (preset.programming, preset.drift, preset.read, preset.periphery)]
    last = preset.validity.max_seconds
    reach = last if isinstance(last, str) else format_duration(last)
    device = f"{preset.device.technology}, {preset.source.kind}"
    return f"`{preset.name}`", device, *models, preset.compensation.kind, reach


def formulas_table() -> str:
    """What each model of each section computes."""
    rows = [
        (f"`{name}`", f"`{model}`", _in_cell(" ".join((section.__doc__ or "").split())))
        for name, model, section in _sections()
        if model
    ]
    return _table(("section", "model", "what it computes"), rows)


def keys_table() -> str:
    """Every key that a preset file can have."""
    return _table(("key", "with `model`", "expected", "meaning"), list(_key_rows()))


def _sections() -> Iterator[tuple[str, str, type[Section]]]:
    """Name in the file, model (empty where there is no choice) and schema of every section."""
    for name, field in Preset.model_fields.items():
        for option in get_args(field.annotation) or (field.annotation,):
            if isinstance(option, type) and issubclass(option, Section):
                model = option.model_fields.get("model")
                yield name, get_args(model.annotation)[0] if model else "", option


def _key_rows() -> Iterator[tuple[str, ...]]:
    for name, model, section in _sections():
        yield from _keys_of(name, model, section)


def _keys_of(name: str, model: str, section: type[Section]) -> Iterator[tuple[str, ...]]:
    for key, field in section.model_fields.items():
        if key != "model":
            yield f"`{name}.{key}`", model and f"`{model}`", _expected(field), _in_cell(field.description or "")
        for part in get_args(field.annotation):
            if isinstance(part, type) and issubclass(part, Section):  # a list of tables
                yield from _keys_of(f"{name}.{key}", model, part)


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def _expected(field: object) -> str:
    marks = [mark.text for mark in field.metadata if isinstance(mark, Expected)]  # type: ignore[attr-defined]
    return marks[0] if marks else ", ".join(f"`{choice}`" for choice in get_args(field.annotation))  # type: ignore[attr-defined]


def methods_table() -> str:
    """The scale, the default size and the source of each method."""
    rows = [
        (f"`{name}`", _in_cell(method.formula), f"{method().size:g}", method.source) for name, method in METHODS.items()
    ]
    return _table(("method", "T", "default rho (rwp: sigma)", "source"), rows)


def training_options_table() -> str:
    """Every option of a training."""
    rows = [
        (
            f"`{name}`" + _other_flag(name),
            _in_cell(shown(field).default or _default(field.default)),
            _in_cell(field.description or ""),
        )
        for name, field in TrainOptions.model_fields.items()
    ]
    return _table(("option", "default", "what it is"), rows)


def _other_flag(name: str) -> str:
    """The flag of an option, where it is not called after its field."""
    typed, word = TrainCommand.typed(name) if name in TrainCommand.model_fields else "", name.replace("_", "-")
    return "" if typed in ("", f"--{word}") else f" (`{typed}`)"


def simulate_options_table() -> str:
    """Every option of `simulate`, in the order of its help."""
    rows = []
    for name, field in fields_of(SimulateCommand):
        typed, value = SimulateCommand.typed(name), metavar(field).replace("|", r"\|")
        shown_as = f"`{typed} {value}`" if value else f"`{typed}`"
        if field.get_default() is True:
            shown_as += f", `{SimulateCommand.typed(name, False)}`"
        default = "required" if field.is_required() else _in_cell(default_text(field))
        rows.append((shown_as, default, _in_cell(meaning(field))))
    return _table(("option", "default", "what it is"), rows)


def _default(value: object) -> str:
    return "required" if value is PydanticUndefined else f"{value:g}" if isinstance(value, float) else str(value)


def selections_table() -> str:
    """The modes of selecting what is perturbed."""
    rows = [(f"`{name}`", str(mode.eta), mode.summary) for name, mode in SELECTIONS.items()]
    return _table(("selection", "default eta", "what is perturbed"), rows)


def models_table() -> str:
    """The networks that have a name of their own."""
    rows = [
        (
            f"`{name}`",
            entry.summary,
            str(entry.num_classes),
            str(entry.in_channels),
            entry.normalization or "the data's",
        )
        for name, entry in MODELS.items()
    ]
    return _table(("model", "what it is", "classes", "channels", "normalisation"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    "presets": presets_table,
    "formulas": formulas_table,
    "keys": keys_table,
    "methods": methods_table,
    "selections": selections_table,
    "models": models_table,
    "training_options": training_options_table,
    "simulate_options": simulate_options_table,
}


def main() -> None:
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if with_tables(text) != text:
            page.write_text(with_tables(text), encoding="utf-8")
            print(f"wrote {page.name}")


if __name__ == "__main__":
    main()
