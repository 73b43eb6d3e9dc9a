"""Options of commands that report on runs."""

from collections.abc import Iterator
from typing import Annotated, Literal

from analog_samson.options import OUTPUT, Options, option


class PrintOptions(Options):
    """How much a command prints of its result."""

    quiet: Annotated[bool, option("Print the answer alone, in one sentence.", OUTPUT, flags=("--quiet",))] = False
    verbose: Annotated[bool, option("Print every table of the report.", OUTPUT, flags=("--verbose",))] = False

    @property
    def detail(self) -> Literal["sentence", "brief", "text"]:
        """The form of the report: the answer, the answer with one table, or everything."""
        return "sentence" if self.quiet else "text" if self.verbose else "brief"

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.quiet and self.verbose:
            yield "--quiet and --verbose exclude each other; give one of them"


class ReportOptions(PrintOptions):
    """What is reported of finished runs."""

    threshold: Annotated[
        float | None,
        option(
            "Accuracy in percent for lifetime and yield.",
            OUTPUT,
            default="1, 2, 5, 10 below digital",
            allow_inf_nan=False,
        ),
    ] = None
    digital_pj_per_mac: Annotated[
        float | None,
        option(
            "Energy of a digital multiply-accumulate, for the cost of an inference.",
            OUTPUT,
            default="not given",
            unit="pJ",
            ge=0,
            allow_inf_nan=False,
        ),
    ] = None
    html: Annotated[bool, option("Write report.html into --out.", OUTPUT)] = True


class TableOptions(Options):
    """How tables are printed."""

    format: Annotated[
        Literal["text", "md", "csv", "json", "tex"],
        option("text, md and tex print tables, csv the raw rows, json everything.", OUTPUT, "FORMAT"),
    ] = "text"
    table: Annotated[str | None, option("Print only the tables of this name, such as lifetime.", OUTPUT, "NAME")] = None
