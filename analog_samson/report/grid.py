"""A table of text, and how it is written for a terminal, in Markdown and in LaTeX; its numbers as CSV and JSON."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from analog_samson.results.csv_text import csv_text

_TEX = {
    "\\": r"\textbackslash{}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    ">": r"$>$",
    "<": r"$<$",
    "±": r"$\pm$",
}

_TAG, _ENTITY = re.compile(r"<(?=[A-Za-z/!?])"), re.compile(r"&(?=#?\w+;)")  # "<1 second" is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The numbers behind a table or a figure, exact: one tuple a row under `columns`; None where there is none."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A titled table; `align` has one letter per column, l for words and r for numbers.

    name: how a user asks for tables of its kind. data: the numbers behind the text.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str
    name: str = ""
    data: Data | None = None


Block = Grid | str  # a table or a paragraph


def render_text(blocks: Sequence[Block]) -> str:
    """Aligned plain ASCII text for a terminal."""
    return "\n\n".join(_ascii(b) if isinstance(b, str) else _text_grid(b) for b in blocks) + "\n"


def render_markdown(blocks: Sequence[Block]) -> str:
    """GitHub-flavoured Markdown."""
    return "\n\n".join(_markdown(b) if isinstance(b, str) else _markdown_grid(b) for b in blocks) + "\n"


def render_latex(blocks: Sequence[Block]) -> str:
    """LaTeX tables that need the booktabs package; paragraphs become text."""
    return "\n\n".join(_tex(b) if isinstance(b, str) else _latex_grid(b) for b in blocks) + "\n"


def join_data(parts: Sequence[Data]) -> Data:
    """Several tables of one kind under each other; a column that one of them lacks is empty there."""
    columns = tuple(dict.fromkeys(column for part in parts for column in part.columns))
    rows = [dict(zip(part.columns, row, strict=True)) for part in parts for row in part.rows]
    return Data(columns=columns, rows=tuple(tuple(row.get(column) for column in columns) for row in rows))


def data_csv(data: Data) -> str:
    """CSV with a header line; floats read back exactly, absent values are empty, truth is true or false.

    >>> data_csv(Data(columns=("preset", "mean"), rows=(("ideal", 91.7), ("pcm", None))))
    'preset,mean\\nideal,91.7\\npcm,\\n'
    """
    return csv_text(data.columns, data.rows)


def data_rows(data: Data) -> list[dict[str, Any]]:
    """One dictionary a row."""
    return [dict(zip(data.columns, row, strict=True)) for row in data.rows]


def data_json(data: Data) -> str:
    """A JSON list with one object a row."""
    return json.dumps(finite(data_rows(data)), indent=2, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """For JSON, which has no other numbers: null in place of NaN and infinity, at any depth."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _ascii(text: str) -> str:
    return text.replace("±", "+-")


def _text_grid(grid: Grid) -> str:
    headers, *rows = ([_ascii(cell) for cell in row] for row in (grid.headers, *grid.rows))
    widths = [max(len(row[i]) for row in (headers, *rows)) for i in range(len(headers))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if grid.align[place] == "l" else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"  {'  '.join(padded)}".rstrip()

    rule = "  " + "  ".join("-" * width for width in widths)
    return "\n".join([_ascii(grid.title), line(headers), rule, *(line(row) for row in rows)])


def _markdown_grid(grid: Grid) -> str:
    marks = [":--" if side == "l" else "--:" for side in grid.align]
    lines = [_markdown_row(cells) for cells in (grid.headers, marks, *grid.rows)]
    return "\n".join([f"**{_markdown_cell(grid.title)}**", "", *lines])


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_markdown_cell(cell) for cell in cells)} |"


def _markdown_cell(text: str) -> str:
    return _markdown(text).replace("|", r"\|")


def _markdown(text: str) -> str:
    """Text that Markdown shows as it is: no HTML, no links or pictures, no line of its own."""
    shown = _TAG.sub("&lt;", _ENTITY.sub("&amp;", text)).replace("](", r"]\(")
    return " ".join(shown.splitlines())


def _latex_grid(grid: Grid) -> str:
    rows = [" & ".join(_tex(cell) for cell in row) + r" \\" for row in (grid.headers, *grid.rows)]
    body = [r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_tex(grid.title)}}}",
            rf"\begin{{tabular}}{{{grid.align}}}",
            *body,
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)
