"""How many points does `explore` simulate to map ADC bits against programming error, and are its intervals right?

    python benchmarks/explore.py --shared ../shared

- The map: ResNet-20 of ../shared/checkpoints on pcm_rasch_2023 after a day, the first 500 test images, 5 chips, input
  ranges from 250 training images (--images), threshold digital - 6.
- The intervals, by simulation: a response whose boundary is known, on chips that differ by a common offset and by an
  error of their own at each point. Share of 500 repetitions in which the boundary lies where `explore` says: on one
  axis, and on every line of a map of 7 by 9.

Writes results/explore.json. Rerun the command to resume.
"""

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from analog_samson.analysis.exploration import Cell, ThresholdMap, Verdict, margin_of
from analog_samson.analysis.explored import Exploration
from analog_samson.report.exploration_page import exploration_text, write_exploration
from analog_samson.results.metric import ACCURACY
from analog_samson.runtime.workers import Pool
from analog_samson.simulation.explore import explore
from analog_samson.simulation.explore_options import ExploreOptions

RESULTS = Path(__file__).parent / "results"
PRESET, KEEP, DAY, CHIPS, IMAGES, CALIBRATION = "pcm_rasch_2023", "digital - 6", 86400.0, 5, 500, 250
VARIED = ("periphery.adc_bits=4..10", "programming.scale=0.25..2")
REPETITIONS = 500
SHAPE = (7, 9)
# Standard deviations in points: common to all points of a chip, and of each point by itself.
SPREADS = {
    "chips alike at all points": (1.0, 0.0),
    "half of the variance": (0.7, 0.7),
    "points independent": (0.0, 1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--images", default="", help="training images, such as npz:cifar10_train.npz")
    parser.add_argument("--runs", type=Path, default=Path("runs/explore_benchmark"))
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--out", type=Path, default=RESULTS / "explore.json")
    given = parser.parse_args()
    result: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {"benchmark": "explore"}
    result["coverage"] = coverage(given.repetitions)
    if given.images:
        result["map"] = measured_map(given.shared, given.images, given.runs, given.workers)
    given.out.parent.mkdir(exist_ok=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["coverage"], indent=1))


def measured_map(shared: Path, images: str, runs: Path, workers: int) -> dict[str, Any]:
    """The map of the provided ResNet-20."""
    options = ExploreOptions(
        checkpoint=str(shared / "checkpoints" / "resnet20-12fca82f.th"),
        model="resnet20",
        label="ResNet-20",
        data=f"npz:{shared / 'data' / 'cifar10_test.npz'}",
        calibration_data=images,
        calibration_limit=CALIBRATION,
        normalization="imagenet",
        limit=IMAGES,
        preset=PRESET,
        vary=VARIED,
        keep=KEEP,
        at=DAY,
        instances=CHIPS,
    )
    start = perf_counter()
    found = explore(options, runs, Pool(workers=workers, threads_each=1), say=print)
    seconds = perf_counter() - start
    text = exploration_text(found)
    write_exploration(found, runs, "python benchmarks/explore.py", html=True)
    print(text)
    return {
        "network": found.label,
        "preset": PRESET,
        "keep": KEEP,
        "digital": found.digital,
        "threshold": found.threshold,
        "at_seconds": DAY,
        "chips": CHIPS,
        "images": IMAGES,
        "axes": {axis.path: list(axis.levels) for axis in found.axes},
        "rows": rows(found),
        "simulated": len(found.measured),
        "grid": len(found.found.cells),
        "seconds": round(seconds),
        "workers": workers,
    }


def rows(found: Exploration) -> list[dict[str, Any]]:
    """Every point: its levels, its verdict, and the mean over chips where it was simulated."""
    return [
        {
            "levels": [axis.levels[level] for axis, level in zip(found.axes, cell, strict=True)],
            "verdict": found.verdict(cell).word,
            "mean": found.measured[cell].value.mean if cell in found.measured else None,
        }
        for cell in found.found.cells
    ]


def coverage(repetitions: int) -> list[dict[str, Any]]:
    """For each kind of differences between chips: how often the boundary of a line lies where its interval says."""
    found = []
    for place, (name, spread) in enumerate(SPREADS.items()):
        draw = np.random.default_rng(place)
        for shape in ((SHAPE[1],), SHAPE):
            lines = [repeat(shape, spread, draw) for _ in range(repetitions)]
            inside, all_inside, simulated = np.mean([(share, share == 1, count) for share, count in lines], axis=0)
            row = {"differences": name, "axes": len(shape), "lines_inside_percent": round(100 * float(inside), 1)}
            row["maps_inside_percent"] = round(100 * float(all_inside), 1)
            row["simulated_percent"] = round(100 * float(simulated) / np.prod(shape).item(), 1)
            found.append(row)
    return found


def repeat(shape: tuple[int, ...], spread: tuple[float, float], draw: np.random.Generator) -> tuple[float, int]:
    """One map on new chips: share of its lines whose interval holds the boundary, and the points that it measured."""
    centre = draw.uniform(2, shape[-1] - 3)
    offsets = draw.normal(0, spread[0], CHIPS)

    def truth(cell: Cell) -> float:
        """Distance from the threshold in points, rising along the axes."""
        return 1.5 * (cell[-1] - centre + (0.7 * (cell[0] - shape[0] / 2) if len(cell) > 1 else 0.0))

    def measure(cell: Cell) -> Verdict:
        own = draw.normal(0, spread[1], CHIPS)
        return margin_of(list(50 + truth(cell) + offsets + own), 50.0, ACCURACY).verdict

    found = searched(shape, measure)
    lines = [(*line, 0) for line in product(*map(range, shape[:-1]))]
    inside = [line_inside(found, cell, truth) for cell in lines]
    return float(np.mean(inside)), len(found.verdicts)


def searched(shape: tuple[int, ...], measure: Callable[[Cell], Verdict]) -> ThresholdMap:
    """The map of a response that rises along every axis."""
    found = ThresholdMap(shape, [1] * len(shape))
    for corner in product(*((0, size - 1) for size in shape)):
        found.verdicts[corner] = measure(corner)
    while cells := found.next_cells(1):
        found.verdicts[cells[0]] = measure(cells[0])
    return found


def line_inside(found: ThresholdMap, cell: Cell, truth: Callable[[Cell], float]) -> bool:
    """Whether the map calls no point below the threshold "holds", and none above it "fails"."""
    line = [(*cell[:-1], level) for level in range(found.shape[-1])]
    wrong = {True: Verdict.FAILS, False: Verdict.HOLDS}
    return all(found.verdict(one) != wrong[truth(one) >= 0] for one in line)


if __name__ == "__main__":
    main()
