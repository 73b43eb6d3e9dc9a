"""A table: a frame of numbers, and how its columns are shown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analog_samson.report.formats import COVERAGE_NOTES, daggered, text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table as it is shown.

    Attributes:
        keys: The column of the frame that a cell shows, or several of them.
        header: Its heading; None: the key.
        format: The text of a cell from the values under `keys`.
        align: "l" or "r"; empty: left where the text is the value itself, right where it is formatted.
        coverage: The column of the frame with what `Validity.coverage` says of the values; empty: there is none.
        wrap: Whether a page may break long text into lines.
        shade: How strongly a page colours a cell, 0 to 1, from the values under `keys`; None: not at all.
    """

    keys: str | tuple[str, ...]
    header: str | None = None
    format: Callable[..., str] = text
    align: str = ""
    coverage: str = ""
    wrap: bool = False
    shade: Callable[..., float | None] | None = None

    @property
    def title(self) -> str:
        """The heading."""
        return str(self.keys) if self.header is None else self.header

    @property
    def side(self) -> str:
        """The alignment, "l" or "r"."""
        return self.align or ("l" if self.format is text else "r")

    def cell(self, row: Mapping[str, Any]) -> str:
        """The text of the cell in a row of the frame."""
        shown = self.format(*self._values(row))
        return daggered(shown, row[self.coverage]) if self.coverage else shown

    def strength(self, row: Mapping[str, Any]) -> int | None:
        """How strongly a page colours the cell, in percent; None: not at all."""
        share = None if self.shade is None else self.shade(*self._values(row))
        return None if share is None else round(100 * share)

    def _values(self, row: Mapping[str, Any]) -> list[Any]:
        return [row[key] for key in ((self.keys,) if isinstance(self.keys, str) else self.keys)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A titled table.

    Attributes:
        title: What stands above it.
        frame: One row for each row of the table; its cells may be objects that the columns format.
        columns: What is shown of the frame.
        data: The exact numbers for CSV and JSON, one value a cell; None: the frame.
        plain: Whether reports leave it out because they say the same elsewhere; exports have it.
        folded: Whether a page shows its title alone until it is opened.
    """

    title: str
    frame: "pd.DataFrame"
    columns: Sequence[Column]
    data: "pd.DataFrame | None" = None
    plain: bool = False
    folded: bool = False

    @property
    def numbers(self) -> "pd.DataFrame":
        """What CSV and JSON hold."""
        return self.frame if self.data is None else self.data

    @property
    def headers(self) -> tuple[str, ...]:
        """The headings of the columns."""
        return tuple(column.title for column in self.columns)

    @property
    def sides(self) -> tuple[str, ...]:
        """The alignment of each column, "l" or "r"."""
        return tuple(column.side for column in self.columns)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The text of every cell."""
        return [tuple(column.cell(row) for column in self.columns) for row in frame_rows(self.frame)]

    @property
    def shaded(self) -> bool:
        """Whether a page colours cells."""
        return any(column.shade is not None for column in self.columns)

    @property
    def strengths(self) -> list[tuple[int | None, ...]]:
        """How strongly a page colours every cell."""
        return [tuple(column.strength(row) for column in self.columns) for row in frame_rows(self.frame)]

    @property
    def note(self) -> str:
        """What the daggers in its title and its cells mean; empty where there are none."""
        return mark_note("".join([self.title, *(cell for row in (self.headers, *self.rows) for cell in row)]))


def mark_note(shown: str) -> str:
    """What the daggers in a text mean; empty where it has none."""
    found = [f"{sign} {words}" for sign, words in COVERAGE_NOTES.items() if sign in shown]
    return f"{'; '.join(found)}." if found else ""


def frame_of(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> "pd.DataFrame":
    """A frame that keeps every value as it is: whole numbers stay whole, an absent one is None.

    >>> frame_of([{"n": 5, "low": None}]).to_dict("records")
    [{'n': 5, 'low': None}]
    """
    import pandas as pd

    return pd.DataFrame(list(rows), columns=None if columns is None else list(columns), dtype=object)


def frame_rows(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """One dictionary a row."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def text_table(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> Table:
    """A table whose cells are text already; `align` has one letter a column, "l" or "r"."""
    keys = [str(place) for place in range(len(headers))]
    shown = [Column(key, header, align=side) for key, header, side in zip(keys, headers, align, strict=True)]
    return Table(title=title, frame=frame_of([dict(zip(keys, row, strict=True)) for row in rows], keys), columns=shown)


def join(tables: Iterable[Table]) -> "pd.DataFrame":
    """The numbers of several tables of one kind under each other; a column that one of them lacks is None there."""
    frames = [table.numbers for table in tables]
    columns = list(dict.fromkeys(column for frame in frames for column in frame.columns))
    return frame_of([dict.fromkeys(columns) | row for frame in frames for row in frame_rows(frame)], columns)
