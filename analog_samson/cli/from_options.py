"""Command lines generated from classes of options."""

import inspect
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from analog_samson.cli.completion import completions
from analog_samson.options import Options, choices, plain_type, shown, written

Given = dict[str, Any]
_WIDEST_METAVAR = 20
_METAVARS: dict[Any, str] = {int: "N", float: "X", Path: "PATH", bool: ""}


def takes(kind: type[Options], example: str) -> Callable[[Callable[[Given], None]], Callable[..., None]]:
    """A decorator that makes a function a command with the options of `kind`.

    Args:
        kind: Its docstring is what help says of the command.
        example: A command line for help.

    Returns:
        A decorator for a function of the options that were given, for `kind.from_text`: text by field name, lists of
        texts for options that may be repeated, booleans for flags.
    """

    def decorate(function: Callable[[Given], None]) -> Callable[..., None]:
        @wraps(function)
        def command(**texts: Any) -> None:
            function({name: text for name, text in texts.items() if text not in (None, [])})

        parameters = [_parameter(name, field, kind) for name, field in fields_of(kind)]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__doc__ = f"{inspect.getdoc(kind)}\n\nExample:\n\n{example}\n"
        return command

    return decorate


def fields_of(kind: type[Options]) -> list[tuple[str, FieldInfo]]:
    """The fields that a command line can give, in the order of help; `Field(exclude=True)` is for Python only."""
    fields = [(name, field) for name, field in kind.model_fields.items() if not field.exclude]
    return sorted(fields, key=lambda item: _place(item[1], kind))


def _parameter(name: str, field: FieldInfo, kind: type[Options]) -> inspect.Parameter:
    """A field as a parameter that typer reads: text, and None where it is not given."""
    look, flag = shown(field), plain_type(field) is bool
    value, offered = metavar(field), completions(name, choices(plain_type(field)))
    if look.is_argument:
        required = "required" if field.is_required() else False
        known: Any = typer.Argument(help=meaning(field), metavar=value, show_default=required, autocompletion=offered)
    else:
        names = (f"{kind.typed(name)}/{kind.typed(name, False)}",) if flag else look.flags or (kind.typed(name),)
        known = typer.Option(
            *names,
            help=meaning(field),
            metavar=value or None,
            autocompletion=offered,
            rich_help_panel=look.panel,
            show_default=default_text(field) or ("required" if field.is_required() else False),
        )
    taken: Any = bool if flag else list[str] if is_repeated(field) else str
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[taken | None, known]
    )


def _place(field: FieldInfo, kind: type[Options]) -> tuple[int, bool, bool]:
    """Where help shows a field: by panel, what is required first, what has no effect without another option last."""
    look, panels = shown(field), kind.PANELS
    place = -1 if look.is_argument else panels.index(look.panel) if look.panel in panels else len(panels)
    return place, not field.is_required(), bool(shown(field).needs)


def is_repeated(field: FieldInfo) -> bool:
    """Whether an option may be given several times."""
    return get_origin(plain_type(field)) is tuple and written(field) is None


def metavar(field: FieldInfo) -> str:
    """The placeholder for an option's value in help, such as FILE."""
    form, kind = written(field), plain_type(field)
    kind = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return shown(field).metavar or (form.metavar if form else _choices_text(kind) or _METAVARS.get(kind, "TEXT"))


def _choices_text(kind: Any) -> str:
    text = "|".join(choices(kind))
    return text if len(text) <= _WIDEST_METAVAR else "NAME"


def meaning(field: FieldInfo) -> str:
    """The description of an option, with the names it chooses from where its metavar does not hold them."""
    names = choices(plain_type(field))
    listed = bool(names) and metavar(field) == "NAME"
    return (field.description or "") + (f" One of {', '.join(names)}." if listed else "")


def default_text(field: FieldInfo) -> str:
    """The default of an option as help shows it; "" for one that is off or none."""
    if shown(field).default or field.is_required():
        return shown(field).default
    value, form = field.get_default(), written(field)
    if isinstance(value, bool) or value is None:
        return "on" if value else ""
    if form is not None:
        return form.write(value)
    return (
        ", ".join(map(str, value))
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def arguments_of(options: Options, always: Collection[str] = ()) -> list[str]:
    """The command line that gives `options`; what has its default is left out, unless `always` names it."""
    words, kind = [], type(options)
    for name, field in fields_of(kind):
        value, form, look = getattr(options, name), written(field), shown(field)
        is_default = not field.is_required() and value == field.get_default()
        if value is None or (is_default and name not in always):
            continue
        if isinstance(value, bool):
            words.append(kind.typed(name, value))
        else:
            for one in value if is_repeated(field) else (value,):
                words += [*(() if look.is_argument else (kind.typed(name),)), form.write(one) if form else str(one)]
    return words


def parsed_text(command: Callable[..., None], arguments: Sequence[str]) -> Given:
    """What a command made by `takes` is given by a command line."""
    app = typer.Typer(add_completion=False)
    app.command()(command)
    texts = typer.main.get_command(app).make_context("command", list(arguments)).params
    return {name: text for name, text in texts.items() if text not in (None, [])}
