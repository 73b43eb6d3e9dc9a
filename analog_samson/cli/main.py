"""The `analog-samson` command: its subcommands, and the one place that turns errors into messages."""

import errno
import os
import sys
import traceback

import typer
from typer.exceptions import TyperException

from analog_samson import __version__
from analog_samson.cli import (
    average,
    compare,
    convert,
    demo,
    doctor,
    presets,
    report,
    reproduce,
    sharpness,
    simulate,
    sweep,
    train,
    zoo,
)
from analog_samson.cli.helping import HelpfulCommand
from analog_samson.cli.interruption import told_when_interrupted
from analog_samson.cli.notices import notices_as_lines
from analog_samson.cli.old_names import with_present_names
from analog_samson.cli.processes import tell
from analog_samson.errors import AnalogSamsonError
from analog_samson.results.atomic import NO_ROOM
from analog_samson.runtime.allocation import keep_freed_memory

USER_FAULT, USAGE, BUG = 1, 2, 3
_PLACES = (errno.ENAMETOOLONG, *NO_ROOM)  # paths and disks that no code of ours can mend

app = typer.Typer(
    name="analog-samson",
    help="Train with SAMSON, put the network on simulated analog hardware, read its accuracy after a year.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command, continues in (
    (demo.demo, True),
    (train.train, False),  # says by itself how far it came
    (average.average, False),
    (convert.convert, False),
    (simulate.simulate, True),
    (compare.compare, True),
    (report.report, False),
    (sharpness.sharpness, False),
    (sweep.sweep, True),
    (reproduce.reproduce, True),
    (doctor.doctor, False),
):
    app.command(cls=HelpfulCommand)(told_when_interrupted(command, continues=continues))
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
    """Run the command line; returns 0 ok, 1 the user's fault, 2 usage, 3 a bug, 130 interrupted."""
    keep_freed_memory()
    try:
        with notices_as_lines():
            return app(with_present_names(sys.argv[1:] if arguments is None else arguments), standalone_mode=False) or 0
    except typer.Exit as stop:
        return stop.exit_code
    except TyperException as error:
        tell(f"error: {error.format_message()} (see --help)")
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
