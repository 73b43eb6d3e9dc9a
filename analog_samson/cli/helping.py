"""Help of commands: options in panels, on eighty columns, without the names of Python types."""

from collections.abc import Callable
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.core import TyperArgument, TyperCommand, TyperOption
from typer.exceptions import TyperException

_WIDEST = 100


class HelpfulCommand(TyperCommand):
    """A command whose help lists options by panel: name and value on the left, meaning and default on the right."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        console = Console(highlight=False)
        console.width = min(console.width, _WIDEST)
        console.print(f"Usage: {' '.join([ctx.command_path, *self.collect_usage_pieces(ctx)])}\n", markup=False)
        console.print(_joined(self.help or ""), markup=False)
        panels: dict[str, list[TyperOption | TyperArgument]] = {}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, TyperOption | TyperArgument) and parameter.name != "help":
                panel = parameter.rich_help_panel or (
                    "Arguments" if isinstance(parameter, TyperArgument) else "Options"
                )
                panels.setdefault(panel, []).append(parameter)
        for title, parameters in panels.items():
            table = Table.grid(padding=(0, 1))
            table.add_column(min_width=24, max_width=30, overflow="fold")
            table.add_column(ratio=1)
            for parameter in parameters:
                table.add_row(_name(parameter), _meaning(parameter))
            console.print(Panel(table, title=escape(title), title_align="left", border_style="dim"))
        if self.epilog:
            console.print(_joined(self.epilog), markup=False)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = self.make_parser(ctx).parse_args(list(args))[2]
        presets = [one for one in given if one.name == "preset"]
        if len(presets) > 1 and not presets[0].multiple:  # the last alone would be used
            ctx.fail(f"--preset: given {len(presets)} times, this command takes one; compare and sweep take several")
        return super().parse_args(ctx, args)


class LazyCommand(HelpfulCommand):
    """A command whose code and options are loaded when it is called, not when it is listed.

    Args:
        name: Its name.
        help: One line for the list of commands.
        load: Gives the function of the command.
    """

    def __init__(self, name: str, help: str, load: Callable[[], Callable[..., None]]) -> None:
        super().__init__(name, help=help)
        self._load = load

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        alone = typer.Typer(add_completion=False)
        alone.command(self.name)(self._load())
        loaded = typer.main.get_command(alone)
        self.params, self.callback, self.help = loaded.params, loaded.callback, loaded.help
        return super().make_context(info_name, args, parent, **extra)


def flag_of_field(error: TyperException) -> str:
    """A hint with the flag of the field that an unknown option is named after, or an empty string.

    Of train, --learning-rate is the field `learning_rate`, whose flag is --lr.
    """
    typed, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    for parameter in context.command.params if typed and context else ():
        if f"--{parameter.name.replace('_', '-')}" == typed and typed not in parameter.opts:
            return f"; did you mean {parameter.opts[0]}?"
    return ""


def _joined(text: str) -> str:
    """Paragraphs of one line each, for the console to wrap."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")) + "\n"


def _name(parameter: TyperOption | TyperArgument) -> Text:
    if isinstance(parameter, TyperArgument):
        return Text(parameter.metavar or parameter.name, style="bold cyan")
    default_on = parameter.is_flag and bool(parameter.show_default)
    name = Text(
        "\n".join([parameter.opts[0], *parameter.secondary_opts] if default_on else [", ".join(parameter.opts)]),
        "bold cyan",
    )
    return name if parameter.is_flag or not parameter.metavar else name.append(f" {parameter.metavar}", "yellow")


def _meaning(parameter: TyperOption | TyperArgument) -> Text:
    meaning = Text(" ".join((parameter.help or "").split()))
    default = parameter.show_default
    if default is True:  # of options that are declared to typer
        default = "" if parameter.default in (None, False, [], ()) else str(parameter.default)
    if default == "required":
        return meaning.append(" [required]", "red")
    return meaning.append(f" [default: {default}]", "dim") if default else meaning
