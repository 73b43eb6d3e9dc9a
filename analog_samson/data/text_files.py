"""Texts from files: tables as CSV, TSV, JSON lines or Parquet, and plain text."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from analog_samson.data.text_lines import JsonLines, plain_texts
from analog_samson.data.text_set import TextSet
from analog_samson.errors import DataError, did_you_mean
from analog_samson.runtime.size_limit import fits_in_memory, refuse_size

_TEXT = ("text", "sentence", "sentence1", "review", "content", "question", "premise")
_SECOND = ("second", "sentence2", "text2", "text_pair", "hypothesis")
_LABEL = ("label", "labels", "class", "category", "target")
_SCORE = ("score", "similarity_score", "similarity", "label", "labels")
_SHOWN = 20  # columns in a message
_KINDS = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt")


def read_texts(path: Path, options: Mapping[str, str], *, pairs: bool = False) -> TextSet:
    """Read texts with their labels, or pairs of texts with their scores.

    Of plain text and JSON lines that take more than memory should hold, only labels or scores are kept; the texts are
    read from the file when they are due.

    Args:
        path: A .csv, .tsv, .jsonl, .json or .parquet table, or any other file as plain text, one text a line.
        options: The columns by what they hold: "text", "second", "label" or "score"; "header" is "no" for a table
            whose columns are called by their numbers from 0 on. Columns with the usual names need no option.
        pairs: Samples are two texts and a score.

    Raises:
        DataError: The file cannot be read, a column is missing, or a text or score is not one.
    """
    known = ("text", "second", "score", "header") if pairs else ("text", "second", "label", "header")
    if unknown := [name for name in options if name not in known]:
        hint = did_you_mean(unknown[0], known)
        raise DataError(f"{path}: unknown option {unknown[0]!r}{hint}; known: {', '.join(known)}")
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a table ({', '.join(_KINDS[:-1])}) or plain text")
    name, is_large = path.name, not fits_in_memory(path.stat().st_size)
    if path.suffix.lower() not in _KINDS[:-1]:
        if pairs:
            raise DataError(f"{path}: plain text holds no pairs; expected a table ({', '.join(_KINDS[:-1])})")
        if is_large:
            return _checked(path, TextSet(name=name, texts=plain_texts(path)))
        lines = [line for line in _plain(path).splitlines() if line.strip()]
        return _checked(path, TextSet(name=name, texts=tuple(lines)))
    if is_large and path.suffix.lower() == ".jsonl":
        frame: pd.DataFrame | JsonLines = JsonLines(path)
    else:
        refuse_size(path.stat().st_size, f"{path}: reading it", "write it as JSON lines (.jsonl)", DataError)
        frame = _table(path, header=options.get("header", "yes") != "no")
    texts = _texts(path, frame, _column(path, frame, options.get("text"), _TEXT, "text"))
    wants_second = pairs or "second" in options
    second = _column(path, frame, options.get("second"), _SECOND, "second") if wants_second else None
    targets: torch.Tensor | None = None
    classes: tuple[str, ...] = ()
    if pairs:
        column = _column(path, frame, options.get("score"), _SCORE, "score")
        targets = torch.tensor(_numbers(path, frame, column), dtype=torch.float32)
    elif (label := _optional(path, frame, options.get("label"), _LABEL)) is not None:
        values = frame.labels(label) if isinstance(frame, JsonLines) else frame[label].tolist()
        targets, classes = _labels(path, values)
    return _checked(
        path,
        TextSet(
            name=name,
            texts=texts,
            second=None if second is None else _texts(path, frame, second),
            targets=targets,
            classes=classes,
        ),
    )


def _plain(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return path.read_text(encoding="latin-1")


def _table(path: Path, *, header: bool) -> pd.DataFrame:
    kind = path.suffix.lower()
    try:
        if kind == ".parquet":
            return pd.read_parquet(path)
        if kind in (".jsonl", ".json"):
            return pd.read_json(path, lines=kind == ".jsonl").rename(columns=str)
        separator = "\t" if kind == ".tsv" else ","
        names: dict[str, Any] = {} if header else {"header": None}
        frame = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, **names)
    except Exception as error:  # a parser on damaged bytes may raise anything; nothing of ours runs in there
        raise DataError(f"{path}: not a readable {kind[1:]} table: {error}") from error
    return frame if header else frame.rename(columns=str)


def _column(path: Path, frame: pd.DataFrame | JsonLines, asked: str | None, usual: Sequence[str], what: str) -> str:
    found = _optional(path, frame, asked, usual)
    if found is None:
        raise DataError(f"{path}: no column for {what}; it has {_listed(frame.columns)}; name one with ,{what}=COLUMN")
    return found


def _listed(columns: Iterable[str]) -> str:
    """The first names of columns."""
    names = [str(name)[:60] for name in columns]
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _optional(path: Path, frame: pd.DataFrame | JsonLines, asked: str | None, usual: Sequence[str]) -> str | None:
    columns = [str(column) for column in frame.columns]
    if asked is not None:
        if asked not in columns:
            raise DataError(f"{path}: no column {asked!r}{did_you_mean(asked, columns)}; it has {_listed(columns)}")
        return asked
    return next((name for name in usual if name in columns), None)


def _texts(path: Path, frame: pd.DataFrame | JsonLines, column: str) -> Sequence[str]:
    if isinstance(frame, JsonLines):
        return frame.texts(column)
    values = frame[column].tolist()
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise DataError(f"{path}: row {row}, column {column!r}: expected a text, got {value!r:.40}")
    return tuple(values)


def _numbers(path: Path, frame: pd.DataFrame | JsonLines, column: str) -> Sequence[float]:
    if isinstance(frame, JsonLines):
        return frame.numbers(column)
    numbers = pd.to_numeric(frame[column], errors="coerce")
    if numbers.isna().any():
        row = int(numbers.isna().to_numpy().argmax())
        raise DataError(f"{path}: row {row}, column {column!r}: expected a number, got {frame[column].iloc[row]!r:.40}")
    return [float(number) for number in numbers]


def _labels(path: Path, values: Sequence[Any]) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Whole numbers as they are; names by their place in the alphabet."""
    texts = [str(value) for value in values]
    if all(text.isdecimal() for text in texts):
        numbers = [int(text) for text in texts]
        largest = max(numbers, default=-1)
        refuse_size(100 * largest, f"{path}: label {largest} with all below it", "number the classes from 0", DataError)
        return torch.tensor(numbers), tuple(map(str, range(largest + 1)))
    classes = sorted(set(texts))
    places = {name: place for place, name in enumerate(classes)}
    return torch.tensor([places[text] for text in texts]), tuple(classes)


def _checked(path: Path, found: TextSet) -> TextSet:
    if len(found) == 0:
        raise DataError(f"{path}: no texts")
    for part in (found.texts, found.second or ()):
        for row, text in enumerate(part):
            if not text.strip():
                raise DataError(f"{path}: text {row} is empty; remove empty texts")
    return found
