"""Hyper-parameters chosen by code: every candidate of a method's grid is scored on held-out training images."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analog_samson.experiments.plan import Cell, Choices
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.results.parts import load_part

SCORE_FILE = "score.json"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The best candidate of a method in a setting, with the scores [%] of all of them in the order of the grid."""

    setting: str
    method: str
    chosen: Mapping[str, Any]
    score: float
    candidates: tuple[tuple[Mapping[str, Any], float], ...]


def choose(candidates: Sequence[Cell], out: Path) -> list[Choice]:
    """The best candidate of each method in each setting; among equals the first of the grid.

    A method with a candidate that has no score yet is left out.
    """
    grouped: dict[tuple[str, str], list[Cell]] = {}
    for cell in candidates:
        grouped.setdefault((cell.setting.name, cell.method), []).append(cell)
    scores = {cell.folder: read_score(out / cell.folder) for cell in candidates}
    return [
        _best(name, method, [(cell.chosen, scores[cell.folder]) for cell in cells])
        for (name, method), cells in grouped.items()
        if all(scores[cell.folder] is not None for cell in cells)
    ]


def chosen_options(choices: Sequence[Choice]) -> Choices:
    """What was chosen, by setting and method."""
    return {(choice.setting, choice.method): choice.chosen for choice in choices}


def read_score(folder: Path) -> float | None:
    """The score of a candidate, None where it is not finished."""
    stored = load_part(folder / SCORE_FILE)
    return None if stored is None else float(stored["values"]["score"])


def write_choices(choices: Sequence[Choice], path: Path) -> None:
    """All candidates with their scores and what was chosen, as JSON."""
    rows = [
        {
            "setting": choice.setting,
            "method": choice.method,
            "chosen": dict(choice.chosen),
            "score": choice.score,
            "candidates": [{"options": dict(options), "score": score} for options, score in choice.candidates],
        }
        for choice in choices
    ]
    make_folder(path.parent)
    write_atomically(path, (json.dumps(rows, indent=1) + "\n").encode())


def _best(setting: str, method: str, scored: Sequence[tuple[Mapping[str, Any], float | None]]) -> Choice:
    known = [(options, score) for options, score in scored if score is not None]
    chosen, score = max(known, key=lambda candidate: candidate[1])
    return Choice(setting=setting, method=method, chosen=chosen, score=score, candidates=tuple(known))
