"""The stored values of candidates, and the choice between candidates."""

import csv
import fcntl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from arms import ARMS, RISES, WIDER, Candidate

IDENTITY = ["arm", "clip", "rise", "seed"]
WIDENED = 2  # times at most that the best rise may lie at an end

Score = Callable[[Candidate], float]


def read(path: Path) -> pd.DataFrame:
    """The lines of a file of values, none where it does not exist."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def of_candidate(values: pd.DataFrame, candidate: Candidate) -> pd.DataFrame:
    """The lines of one training."""
    if values.empty:
        return values
    clip, rise = values["clip"].fillna(0) == (candidate.clip or 0), values.rise.fillna(0) == (candidate.rise or 0)
    return values[(values.arm == candidate.arm) & clip & rise & (values.seed == candidate.seed)]


def append(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Add lines to a file of values, all at once, also where another process writes to it."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", newline="") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer = csv.DictWriter(file, list(lines[0]), lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerows(lines)


def best_rise(
    score: Callable[[Candidate], float],
    arm: str,
    clip: float | None,
    rises: Sequence[float] = RISES,
    widened: int = WIDENED,
) -> float | None:
    """The rise with the best score, of a grid that is widened where the best lies at its end."""
    if ARMS[arm].size is None:
        score(Candidate(arm, clip))
        return None
    rises = list(rises)
    for _ in range(widened + 1):
        found = best([(score(Candidate(arm, clip, rise)), rise) for rise in rises])
        if found == rises[0]:
            rises.insert(0, float(f"{rises[0] / WIDER:.3g}"))
        elif found == rises[-1]:
            rises.append(float(f"{rises[-1] * WIDER:.3g}"))
        else:
            break
    return found


def best(scored: Sequence[tuple[float, Any]]) -> Any:
    """What has the highest score; the first of equals."""
    return max(scored, key=lambda one: one[0])[1]


def chosen_of(values: pd.DataFrame, score: Callable[[pd.DataFrame], float]) -> dict[str, Any]:
    """Clipping, rise and score by arm and by "clipped" or "unclipped"; of equals, the smaller rise and wider clip."""
    groups = values.assign(rise=values.rise.fillna(0), clip=values["clip"].fillna(0)).groupby(["arm", "clip", "rise"])
    scores = pd.DataFrame([(*key, score(group)) for key, group in groups], columns=[*IDENTITY[:3], "score"])
    scores = scores.sort_values(["score", "rise", "clip"], ascending=[False, True, False])
    chosen: dict[str, Any] = {}
    for (arm, clipped), group in scores.groupby(["arm", scores["clip"] > 0], sort=False):
        first = group.iloc[0]
        option = {"clip": first["clip"], "rise": first["rise"]}
        found = {name: float(value) for name, value in option.items() if value > 0}
        chosen.setdefault(arm, {})["clipped" if clipped else "unclipped"] = {**found, "score": round(first.score, 3)}
    return chosen
