"""A table of text, and how it is written for a terminal, in Markdown and in LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A titled table; `align` has one letter per column, l for words and r for numbers."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    align: str


Block = Grid | str  # a table or a paragraph


def render_text(blocks: Sequence[Block]) -> str:
    """Aligned plain ASCII text for a terminal."""
    return "\n\n".join(_ascii(b) if isinstance(b, str) else _text_grid(b) for b in blocks) + "\n"


def render_markdown(blocks: Sequence[Block]) -> str:
    """GitHub-flavoured Markdown."""
    return "\n\n".join(b if isinstance(b, str) else _markdown_grid(b) for b in blocks) + "\n"


def render_latex(blocks: Sequence[Block]) -> str:
    """LaTeX tables that need the booktabs package; paragraphs become text."""
    return "\n\n".join(_tex(b) if isinstance(b, str) else _latex_grid(b) for b in blocks) + "\n"


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
    return text.replace("|", r"\|")


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
