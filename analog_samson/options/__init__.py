"""Options as classes: type, bound, unit, default and description of each, declared once.

Options are checked when made, in Python, from a run.toml and from a command line alike. Command lines and their
help are generated from the classes (`analog_samson.cli.from_options`).
"""

from analog_samson.options.base import Options
from analog_samson.options.expectation import accepts_none, choices, expectation, plain_type
from analog_samson.options.fields import (
    BUDGET,
    CALIBRATION,
    DATA,
    HARDWARE,
    MACHINE,
    NETWORK,
    OUTPUT,
    STATISTICS,
    Count,
    Seed,
    Shown,
    Written,
    listed,
    option,
    shown,
    written,
)

__all__ = [
    "BUDGET",
    "CALIBRATION",
    "DATA",
    "HARDWARE",
    "MACHINE",
    "NETWORK",
    "OUTPUT",
    "STATISTICS",
    "Count",
    "Options",
    "Seed",
    "Shown",
    "Written",
    "accepts_none",
    "choices",
    "expectation",
    "listed",
    "option",
    "plain_type",
    "shown",
    "written",
]
