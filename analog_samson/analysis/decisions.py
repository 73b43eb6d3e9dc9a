"""What a classifier decides sample by sample: margins and confusions, digitally and on aged chips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analog_samson.analysis.statistics import Summary, summarize
from analog_samson.results.store import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What the network decides, sample by sample, digitally and on the aged chips together.

    Attributes:
        edges: Bin edges of the margin, top output minus runner-up; the last bin is open.
        digital_shares, aged_shares: Of all samples, 0 to 1, in each bin.
        changed: Share of decisions that differ from the digital ones, by chip.
        digital_confusion, aged_confusion: Samples of a class (first) taken for another (second), of the digital network
            and of all chips together.
    """

    edges: tuple[float, ...]
    digital_shares: tuple[float, ...]
    aged_shares: tuple[float, ...]
    digital_median: float
    aged_median: float
    changed: Summary
    classes: int
    samples: int
    chips: int
    digital_confusion: Mapping[tuple[int, int], int]
    aged_confusion: Mapping[tuple[int, int], int]


def read_outcomes(folder: RunFolder, instances: int) -> Outcomes | None:
    """The decisions stored in an opened folder, over the first `instances` chips; None where there are none."""
    digital = folder.meta("outcomes/digital")
    aged = [one for i in range(instances) if (one := folder.meta(f"outcomes/{i}")) is not None]
    if digital is None or not aged:
        return None
    samples, edges = sum(digital["margins"]), tuple(digital["edges"])
    counts = [sum(column) for column in zip(*(one["margins"] for one in aged), strict=True)]
    return Outcomes(
        edges=edges,
        digital_shares=tuple(count / samples for count in digital["margins"]),
        aged_shares=tuple(count / samples / len(aged) for count in counts),
        digital_median=histogram_median(edges, digital["margins"]),
        aged_median=histogram_median(edges, counts),
        changed=summarize([one["changed"] / samples for one in aged]),
        classes=digital["classes"],
        samples=samples,
        chips=len(aged),
        digital_confusion=_confusion([digital]),
        aged_confusion=_confusion(aged),
    )


def _confusion(outcomes: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], int]:
    total: dict[tuple[int, int], int] = {}
    for one in outcomes:
        for true, predicted, count in one["confusion"]:
            total[true, predicted] = total.get((true, predicted), 0) + count
    return total


def histogram_median(edges: Sequence[float], counts: Sequence[int]) -> float:
    """The value that half of the counts lie below, linear within its bin; the last edge where it is in the open bin.

    >>> histogram_median([0.0, 1.0, 2.0], [1, 3, 0])
    1.3333333333333333
    """
    half, below = sum(counts) / 2, 0
    for place, count in enumerate(counts):
        if below + count >= half and count:
            if place + 1 >= len(edges):
                return float(edges[-1])
            return float(edges[place] + (half - below) / count * (edges[place + 1] - edges[place]))
        below += count
    return float(edges[-1])
