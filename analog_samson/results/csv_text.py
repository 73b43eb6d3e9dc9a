"""Tables as CSV text that no spreadsheet runs as formulas."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what spreadsheets take for the beginning of a formula


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The one way in which tables for other programs are written as CSV.

    Truth is true or false, absent values are empty, texts are those of `no_formula`.

    >>> csv_text(["label", "mean"], [["=1+1", -0.5], ["net", True]])
    "label,mean\\n'=1+1,-0.5\\nnet,true\\n"
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else no_formula(value)


def no_formula(value: Any) -> Any:
    """A cell that no spreadsheet runs: a text that begins as a formula does, and is no number, gets an apostrophe.

    >>> [no_formula(value) for value in ("=1+1", "-1+1", "-0.5", "-", -0.5, "net")]
    ["'=1+1", "'-1+1", '-0.5', '-', -0.5, 'net']
    """
    if not isinstance(value, str) or not value.startswith(_FORMULA) or len(value) == 1:
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
