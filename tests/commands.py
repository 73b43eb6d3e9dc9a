"""One command called as a user calls it, in this process."""

import pytest
import typer
from typer.testing import CliRunner

from analog_samson.errors import AnalogSamsonError


def output_of(app: typer.Typer, *arguments: object, code: int = 0) -> str:
    """What the command prints, after it ended with `code`; an exception of its own is raised here."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def error_of(app: typer.Typer, *arguments: object) -> str:
    """The message with which the command refuses."""
    with pytest.raises(AnalogSamsonError) as caught:
        output_of(app, *arguments)
    return str(caught.value)
