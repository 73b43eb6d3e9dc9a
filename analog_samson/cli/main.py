"""The `analog-samson` command: its subcommands, and the one place that turns errors into messages."""

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from analog_samson import __version__
from analog_samson.cli import presets, zoo
from analog_samson.cli.helping import LazyCommand, flag_of_field
from analog_samson.cli.interruption import told_when_interrupted
from analog_samson.cli.notices import notices_as_lines
from analog_samson.cli.old_names import with_present_names
from analog_samson.cli.processes import tell
from analog_samson.errors import AnalogSamsonError
from analog_samson.results.atomic import NO_ROOM
from analog_samson.runtime.allocation import keep_freed_memory

USER_FAULT, USAGE, BUG = 1, 2, 3
_PLACES = (errno.ENAMETOOLONG, *NO_ROOM)  # paths and disks that no code of ours can mend

# The function of each command is in the module of its name: what it is for, and whether it resumes when it is rerun.
COMMANDS = {
    "demo": ("See in a minute what this is for: three trainings, a year on simulated PCM, one page.", True),
    "train": ("Train a network from scratch, or fine-tune a checkpoint.", True),
    "average": ("Average the weights of networks that were trained from one start.", False),
    "convert": ("Show which layers go on analog tiles, and the hardware they need.", False),
    "cost": ("Tiles, area, energy and latency of an inference, from published figures of a chip.", False),
    "simulate": ("Accuracy of a checkpoint over time on a hardware preset, with a report.", True),
    "compare": ("Compare checkpoints on presets over time: equal chips, paired differences, one page.", True),
    "report": ("Print the result tables of runs and write report.html with figures.", False),
    "sharpness": ("Measure the sharpness of checkpoints, and whether it goes with robustness.", False),
    "sweep": ("Simulate every checkpoint on every preset with every seed.", True),
    "explore": ("Map which hardware, or which digital layers, keep a network's accuracy.", True),
    "verify": ("Recompute a sample of a run, and check its versions, checkpoint, preset and data.", False),
    "reproduce": ("Run one of the paper's tables or figures beside the paper's numbers.", True),
    "doctor": ("Check the installation: versions, a compiled analog tile, threads, CUDA, data.", False),
}


def _function(name: str, resumes: bool) -> Callable[..., None]:
    module = told_when_interrupted(importlib.import_module, continues=False)(f"analog_samson.cli.{name}")
    return told_when_interrupted(getattr(module, name), continues=resumes)


class _Commands(TyperGroup):
    """The commands, each loaded when it is called."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        lazy = {
            name: LazyCommand(name, help, partial(_function, name, resumes))
            for name, (help, resumes) in COMMANDS.items()
        }
        self.commands = {**lazy, **self.commands}


app = typer.Typer(
    name="analog-samson",
    cls=_Commands,
    help="Train with SAMSON, put the network on simulated analog hardware, read its accuracy after a year.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (presets.app, zoo.app):
    for part in group.registered_commands:
        if part.callback is not None:
            part.callback = told_when_interrupted(part.callback, continues=False)
app.add_typer(presets.app, name="presets")
app.add_typer(zoo.app, name="zoo")


@app.callback(invoke_without_command=True)
def _main(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        print(f"analog-samson {__version__}")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns 0 ok, 1 the user's fault, 2 usage, 3 a bug, 130 or 143 interrupted."""
    keep_freed_memory()
    try:
        with notices_as_lines():
            return app(with_present_names(sys.argv[1:] if arguments is None else arguments), standalone_mode=False) or 0
    except typer.Exit as stop:
        return stop.exit_code
    except TyperException as error:
        if message := error.format_message():  # a group of commands without one prints its help, which is no mistake
            tell(f"error: {message}{flag_of_field(error)} (see --help)")
        return USAGE
    except AnalogSamsonError as error:
        print(f"error: {error}", file=sys.stderr)
        return USER_FAULT
    except BrokenPipeError:
        sys.stderr.close()
        return USER_FAULT
    except OSError as error:
        if error.errno not in _PLACES:
            return _bug()
        print(f"error: {error.filename or 'the output'}: {error.strerror}", file=sys.stderr)
        if error.filename is None:  # what is left in the buffer of the output goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USER_FAULT
    except Exception:
        return _bug()


def _bug() -> int:
    traceback.print_exc()
    print("this is a bug in analog-samson; please report it with the lines above", file=sys.stderr)
    return BUG


def run() -> None:
    """Entry point of the installed command."""
    sys.exit(main())
