"""Texts in the lines of a file that is too large for memory: found once, and read when a batch is due."""

import json
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from analog_samson.errors import DataError
from analog_samson.runtime.size_limit import refuse_size, size_limit


class LineTexts(Sequence[str]):
    """Texts in a file, which must not change.

    Attributes:
        path: The file.
        encoding: Of its bytes.
        spans: First byte and number of bytes of each text, or of the JSON record that holds it, int64 (N, 2).
        column: Which value of a record is the text; None for plain text.
    """

    def __init__(self, path: Path, encoding: str, spans: np.ndarray, column: str | None = None) -> None:
        self.path, self.encoding, self.spans, self.column = path, encoding, spans, column

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> "LineTexts": ...
    def __getitem__(self, place: int | slice) -> "str | LineTexts":
        return self.pick(place) if isinstance(place, slice) else next(iter(self.pick([place])))

    def __iter__(self) -> Iterator[str]:
        try:
            with self.path.open("rb") as file:
                for start, size in self.spans.tolist():
                    file.seek(start)
                    yield self._text(file.read(size))
        except OSError as error:
            raise DataError(f"{self.path}: texts cannot be read ({error.strerror}); run the command again") from error

    def pick(self, places: slice | Sequence[int]) -> "LineTexts":
        """The texts at these places, in this order; nothing is read."""
        return LineTexts(self.path, self.encoding, self.spans[places], self.column)

    def _text(self, content: bytes) -> str:
        try:
            text = content.decode(self.encoding)
            found = text if self.column is None else json.loads(text)[self.column]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{self.path}: changed since it was opened; run the command again") from error
        return str(found)


def plain_texts(path: Path) -> LineTexts:
    """The lines of a plain text that are not empty, as `str.splitlines` divides it; UTF-8, or else Latin-1."""
    for encoding in ("utf-8", "latin-1"):
        spans = array("q")
        try:
            for start, line in _lines(path):
                for piece in line.decode(encoding).splitlines(keepends=True):
                    if piece.strip():
                        spans.extend((start, len(piece.splitlines()[0].encode(encoding))))
                    start += len(piece.encode(encoding))
            break
        except UnicodeDecodeError:
            continue
    return LineTexts(path, encoding, _pairs(spans))


class JsonLines:
    """A file with a JSON object in each line; every method goes through all of it.

    Attributes:
        columns: The names of the values in the first object.
    """

    def __init__(self, path: Path) -> None:
        """Raises DataError where the first line is no JSON object."""
        self._path = path
        self.columns = list(next((record for _, _, _, record in self._records()), {}))

    def texts(self, column: str) -> LineTexts:
        """The values of a column, which have to be texts."""
        spans = array("q")
        for row, start, size, record in self._records():
            value = record.get(column)
            if not isinstance(value, str):
                raise DataError(f"{self._path}: row {row}, column {column!r}: expected a text, got {value!r:.40}")
            spans.extend((start, size))
        return LineTexts(self._path, "utf-8", _pairs(spans), column)

    def labels(self, column: str) -> list[str]:
        """The values of a column as text; numbers, also those in quotes, without a point where they are whole."""
        texts: dict[str, str] = {}
        found = []
        for row, _, _, record in self._records():
            value = record.get(column)
            if not isinstance(value, str | int | float):
                raise DataError(f"{self._path}: row {row}, column {column!r}: expected a label, got {value!r:.40}")
            found.append(texts.setdefault(str(value), str(value)))
        whole = {text: str(int(float(text))) for text in texts} if all(map(_is_whole, texts)) else texts
        return [whole[text] for text in found]

    def numbers(self, column: str) -> Sequence[float]:
        """The values of a column as numbers."""
        found = array("d")
        for row, _, _, record in self._records():
            try:
                found.append(float(record.get(column)))  # type: ignore[arg-type]
            except (TypeError, ValueError) as error:
                got = record.get(column)
                raise DataError(
                    f"{self._path}: row {row}, column {column!r}: expected a number, got {got!r:.40}"
                ) from error
        return found

    def _records(self) -> Iterator[tuple[int, int, int, dict[str, Any]]]:
        """Row, first byte, number of bytes and content of each line that is not empty."""
        row = 0
        for start, line in _lines(self._path):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{self._path}: row {row}: not JSON ({error}); expected an object in each line"
                ) from error
            if not isinstance(record, dict):
                raise DataError(f"{self._path}: row {row}: expected a JSON object, got a {type(record).__name__}")
            yield row, start, len(line), record
            row += 1


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """First byte and content of each line, up to its line feed."""
    start, most = 0, size_limit()
    try:
        with path.open("rb") as file:
            while line := file.readline(most + 1):
                refuse_size(len(line), f"{path}: a line from byte {start} on", "divide the text into lines", DataError)
                yield start, line
                start += len(line)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _pairs(values: "array[int]") -> np.ndarray:
    return np.array(values, np.int64).reshape(-1, 2)


def _is_whole(text: str) -> bool:
    try:
        return float(text).is_integer()
    except ValueError:
        return False
