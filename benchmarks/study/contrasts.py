"""The primary contrasts of the second study, from the stored outcome of every image, as protocol.md lays them down.

    python benchmarks/study/contrasts.py

Every contrast is a difference of two arms that is paired by training, by chip and by image. Its first interval is the t
interval of the differences of trainings, or a bootstrap-t interval where they are skewed; p is adjusted by Holm's
method. Its second interval resamples trainings, the chips of each, and the images. The wider of the two is quoted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from analysis import holm
from arms import DAY, PRESET, Candidate
from measuring import Chips, Reading, aged, generic
from scipy import stats

from analog_samson import rng
from analog_samson.results.condition import ADABS
from analog_samson.runtime.older_python import tomllib

HERE = Path(__file__).parent
OUTCOMES, CHOSEN = HERE / "values" / "outcomes", HERE / "chosen.toml"
IMAGES, CHIPS, PARTS, TRAININGS = 10_000, 10, 4, range(10)
RESAMPLES, SKEWED = 10_000, 1.0
STRESS, ON_PRESET = generic(0.4, ADABS), aged(PRESET, DAY, ADABS)[0]


@dataclass(frozen=True)
class Contrast:
    """First minus second, each an arm and "clipped" or "unclipped", in a condition."""

    first: tuple[str, str]
    second: tuple[str, str]
    condition: str


@dataclass(frozen=True)
class Found:
    """A difference in points.

    Attributes:
        contrast: What was compared.
        trainings: How many pairs of trainings it is over.
        points: Its mean.
        of_trainings: The 95 % interval over trainings.
        of_all: The 95 % interval over trainings, chips and images.
        is_skewed: Whether `of_trainings` is the bootstrap-t interval.
        p: Two-sided, of this contrast alone.
        holm: p adjusted over the primary contrasts.
    """

    contrast: Contrast
    trainings: int
    points: float
    of_trainings: tuple[float, float]
    of_all: tuple[float, float]
    is_skewed: bool
    p: float
    holm: float = float("nan")

    @property
    def quoted(self) -> tuple[float, float]:
        """The wider of both intervals."""
        return max(self.of_trainings, self.of_all, key=lambda ends: ends[1] - ends[0])

    @property
    def is_significant(self) -> bool:
        return self.holm < 0.05 and not self.quoted[0] <= 0 <= self.quoted[1]


def primary(aware: str) -> tuple[Contrast, ...]:
    """The four contrasts; aware: whether the hardware-aware arm that was chosen is clipped or not."""
    clipped_asam, clipped_sgd = ("asam", "clipped"), ("sgd", "clipped")
    return (
        Contrast(clipped_asam, clipped_sgd, STRESS),
        Contrast(clipped_asam, clipped_sgd, ON_PRESET),
        Contrast(("samson_inf", "unclipped"), ("asam", "unclipped"), STRESS),
        Contrast(("hardware_aware", aware), clipped_asam, ON_PRESET),
    )


class Outcomes:
    """Which image each chip of each training got right, from the files that `study.py primary` left."""

    def __init__(self, folder: Path, chosen: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
        self.folder, self.chosen = folder, chosen

    def candidate(self, arm: tuple[str, str], seed: int) -> Candidate:
        """The training of an arm with the options that the selection chose."""
        found = self.chosen[arm[0]][arm[1]]
        return Candidate(arm[0], found.get("clip"), found.get("rise"), seed)

    def seeds(self, arm: tuple[str, str]) -> list[int]:
        """Those of finished trainings."""
        return [seed for seed in TRAININGS if self._path(arm, seed).exists()]

    def right(self, arm: tuple[str, str], seed: int, condition: str) -> np.ndarray:
        """(chips, images): 1 right, 0 wrong, nan where the chip did not read the image."""
        table = np.full((CHIPS, IMAGES), np.nan)
        reads = Chips(seed=seed, instances=range(CHIPS), parts=PARTS)
        with np.load(self._path(arm, seed)) as stored:
            for chip in range(CHIPS):
                places = reads.places(IMAGES, chip)
                bits = stored[Reading.key_of(condition, chip)]
                table[chip, places] = np.unpackbits(bits, count=len(places))
        return table

    def _path(self, arm: tuple[str, str], seed: int) -> Path:
        return self.folder / f"{self.candidate(arm, seed).name}.npz"


def measure(outcomes: Outcomes, contrasts: Iterable[Contrast]) -> list[Found]:
    """Every contrast that has at least two pairs of trainings, with p adjusted over all of them."""
    found = []
    for contrast in contrasts:
        seeds = sorted({*outcomes.seeds(contrast.first)} & {*outcomes.seeds(contrast.second)})
        if len(seeds) < 2:
            continue
        pairs = [
            outcomes.right(contrast.first, seed, contrast.condition)
            - outcomes.right(contrast.second, seed, contrast.condition)
            for seed in seeds
        ]
        found.append(difference(contrast, 100 * np.stack(pairs)))
    return [replace(one, holm=p) for one, p in zip(found, holm([one.p for one in found]), strict=True)]


def difference(contrast: Contrast, points: np.ndarray) -> Found:
    """points: (trainings, chips, images), nan where an image was not read."""
    values = np.nanmean(points, axis=2).mean(axis=1)
    count, mean, error = len(values), float(values.mean()), float(stats.sem(values))
    of_trainings = mean + error * stats.t.ppf([0.025, 0.975], count - 1)
    p = float(2 * stats.t.sf(abs(mean) / error, count - 1))
    is_skewed = abs(float(stats.skew(values, bias=False))) > SKEWED if count > 2 else False
    if is_skewed:
        studentised = _studentised(values)
        of_trainings = mean - error * np.quantile(studentised, [0.975, 0.025])
        p = float(min(1.0, (1 + np.sum(np.abs(studentised) >= abs(mean) / error)) / (1 + len(studentised))))
    low, high = (float(end) for end in of_trainings)
    return Found(contrast, count, mean, (low, high), resampled(points), is_skewed, p)


def _studentised(values: np.ndarray) -> np.ndarray:
    """Resampled (mean - mean of all) / error; resamples without any spread are left out."""
    draws = np.random.default_rng(rng.derive_seed(0, "studentised"))
    samples = draws.choice(values, (RESAMPLES, len(values)))
    errors = samples.std(axis=1, ddof=1) / len(values) ** 0.5
    return ((samples.mean(axis=1) - values.mean())[errors > 0]) / errors[errors > 0]


def resampled(points: np.ndarray, portion: int = 250) -> tuple[float, float]:
    """The 95 % percentile interval over resampled trainings, the chips of each, and images."""
    trainings, chips, images = points.shape
    rows, was_read = points.reshape(-1, images), ~np.isnan(points.reshape(-1, images))
    rows, was_read = np.nan_to_num(rows).astype(np.float32), was_read.astype(np.float32)
    means = []
    draws = np.random.default_rng(rng.derive_seed(0, "resampled"))
    for _ in range(RESAMPLES // portion):
        weights = draws.multinomial(images, np.full(images, 1 / images), portion).T.astype(np.float32)
        of_chips = (rows @ weights / (was_read @ weights)).T.reshape(portion, trainings, chips)
        picked = draws.integers(chips, size=(portion, trainings, chips))
        of_trainings = np.take_along_axis(of_chips, picked, axis=2).mean(axis=2)
        picked = draws.integers(trainings, size=(portion, trainings))
        means.append(np.take_along_axis(of_trainings, picked, axis=1).mean(axis=1))
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def table(found: Sequence[Found]) -> list[str]:
    """Lines of Markdown."""
    lines = [
        "| contrast | condition | trainings | points | over trainings | over trainings, chips, images | p (Holm) |",
        "| :-- | :-- | --: | --: | --: | --: | --: |",
    ]
    for one in found:
        first, second = (" ".join(arm) for arm in (one.contrast.first, one.contrast.second))
        intervals = [f"[{low:.2f}, {high:.2f}]" for low, high in (one.of_trainings, one.of_all)]
        verdict = f"{one.holm:.2g}" + ("" if one.is_significant else ", not significant")
        cells = (f"{first} − {second}", one.contrast.condition, str(one.trainings), f"{one.points:+.2f}", *intervals)
        lines.append("| " + " | ".join((*cells, verdict)) + " |")
    return lines


def chosen_aware(chosen: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Whether the selection preferred the hardware-aware training with clipping or without."""
    return max(chosen["hardware_aware"], key=lambda which: chosen["hardware_aware"][which]["score"])


def main() -> None:
    chosen = tomllib.loads(CHOSEN.read_text())
    print("\n".join(table(measure(Outcomes(OUTCOMES, chosen), primary(chosen_aware(chosen))))))


if __name__ == "__main__":
    main()
