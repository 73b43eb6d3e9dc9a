"""Paragraphs and tables as text, Markdown and LaTeX; the numbers of tables as CSV and JSON."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from analog_samson.report.table import Table, frame_rows
from analog_samson.results.csv_text import csv_text

if TYPE_CHECKING:
    import pandas as pd

Block = Table | str  # a table or a paragraph
_BOOKTABS = r"% These tables need \usepackage{booktabs} in the preamble."
_ASCII = str.maketrans({"±": "+-", "†": "*", "‡": "**", "§": "***", "²": "^2"})
_TEX = str.maketrans(
    {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {sign: rf"\{sign}" for sign in "_%&#${}"}
    | {">": "$>$", "<": "$<$", "±": r"$\pm$", "†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"$^\S$", "²": "$^2$"}
)
_TAG, _ENTITY = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r"&(?=#?\w+;)")  # "<1 second" is none


def render_text(blocks: Sequence[Block]) -> str:
    """Aligned plain text for a terminal."""
    return _joined(_ascii(block) if isinstance(block, str) else _text_table(block) for block in blocks)


def render_markdown(blocks: Sequence[Block]) -> str:
    """GitHub-flavoured Markdown."""
    return _joined(_markdown(block) if isinstance(block, str) else _markdown_table(block) for block in blocks)


def render_latex(blocks: Sequence[Block]) -> str:
    """LaTeX tables that need the booktabs package, as a comment says; paragraphs become text."""
    labels = _latex_labels([block.title for block in blocks if not isinstance(block, str)])
    note = [_BOOKTABS] if any(not isinstance(block, str) for block in blocks) else []
    shown = (_tex(block) if isinstance(block, str) else _latex_table(block, next(labels)) for block in blocks)
    return _joined([*note, *shown])


def frame_csv(frame: "pd.DataFrame") -> str:
    """CSV with a header line; floats read back exactly, absent values are empty, truth is true or false."""
    return csv_text(list(frame.columns), frame.itertuples(index=False, name=None))


def frame_json(frame: "pd.DataFrame") -> str:
    """A JSON list with one object a row; what is not finite is null."""
    return json.dumps(finite(frame_rows(frame)), indent=2, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """For JSON, which has no other numbers: null in place of NaN and infinity, at any depth."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _joined(blocks: Any) -> str:
    return "\n\n".join(blocks) + "\n"


def _ascii(text: str) -> str:
    return text.translate(_ASCII)


def _text_table(table: Table) -> str:
    headers, *rows = ([_ascii(cell) for cell in row] for row in (table.headers, *table.rows))
    widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(cells, widths, table.sides, strict=True)
        )
        return f"  {'  '.join(padded)}".rstrip()

    note = [f"  {_ascii(table.note)}"] if table.note else []
    return "\n".join([_ascii(table.title), line(headers), line(["-" * w for w in widths]), *map(line, rows), *note])


def _markdown_table(table: Table) -> str:
    rules = [":--" if side == "l" else "--:" for side in table.sides]
    lines = [f"| {' | '.join(map(_markdown_cell, cells))} |" for cells in (table.headers, rules, *table.rows)]
    note = ["", _markdown(table.note)] if table.note else []
    return "\n".join([f"**{_markdown_cell(table.title)}**", "", *lines, *note])


def _markdown_cell(text: str) -> str:
    return _markdown(text).replace("|", r"\|")


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, no links or pictures, no line of its own."""
    shown = _TAG.sub("&lt;", _ENTITY.sub("&amp;", text)).replace("](", r"]\(")
    return " ".join(shown.splitlines())


def _latex_labels(titles: Sequence[str]) -> Iterator[str]:
    """A label from each title; the second table of a title has a number.

    >>> list(_latex_labels(["Accuracy %", "Accuracy %", "Ranks at the last time"]))
    ['tab:accuracy', 'tab:accuracy-2', 'tab:ranks-at-the-last-time']
    """
    used: Counter[str] = Counter()
    for title in titles:
        name = "-".join(re.findall("[a-z0-9]+", title.lower())) or "table"
        used[name] += 1
        yield f"tab:{name}" + (f"-{used[name]}" if used[name] > 1 else "")


def _latex_table(table: Table, label: str) -> str:
    rows = [" & ".join(map(_tex, row)) + r" \\" for row in (table.headers, *table.rows)]
    body = [r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
    opening = [r"\begin{table}", r"\centering", rf"\caption{{{_tex(table.title)}}}", rf"\label{{{label}}}"]
    opening.append(rf"\begin{{tabular}}{{{''.join(table.sides)}}}")
    note = [rf"\par\smallskip\footnotesize {_tex(table.note)}"] if table.note else []
    return "\n".join([*opening, *body, r"\end{tabular}", *note, r"\end{table}"])


def _tex(text: str) -> str:
    return text.translate(_TEX)
