"""The cost of stored runs, and which networks give the best quality for their energy."""

from collections.abc import Sequence
from dataclasses import dataclass

from analog_samson.analysis.comparison import same_moment
from analog_samson.analysis.cost import Cost, cost_of
from analog_samson.analysis.ranking import RankedNetwork
from analog_samson.analysis.runs import Run
from analog_samson.analysis.statistics import at_least_as_good
from analog_samson.errors import PresetError
from analog_samson.presets.schema import parse_preset

_SIZES = ("rows", "columns", "groups", "weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPoint:
    """A network on a preset with its energy.

    Attributes:
        entry: Its quality at the last moment.
        cost: What an inference costs.
        joules: The energy that networks are compared by.
        on_frontier: No other network at that moment takes no more energy, is at least as good, and better in one.
    """

    entry: RankedNetwork
    cost: Cost
    joules: float
    on_frontier: bool


def run_cost(run: Run, digital_pj_per_mac: float | None = None) -> Cost | None:
    """The cost of an inference of a run's network; None where its preset or its plan does not tell."""
    plan, preset = run.meta["plan"] or [], run.meta["preset"] or {}
    weights = [row for row in plan if row["action"] == "analog" and not row.get("shared_with")]
    if not preset.get("cost") or not weights or any(not row.get(key) for row in weights for key in _SIZES):
        return None
    try:
        return cost_of(plan, parse_preset(preset, run.name), digital_pj_per_mac=digital_pj_per_mac)
    except PresetError:  # another version's preset, or weights on several presets
        return None


def cost_points(priced: Sequence[tuple[RankedNetwork, Cost]]) -> tuple[CostPoint, ...]:
    """The networks whose energy is known, compared by the energy of everything, or of tiles where that is not known.

    Args:
        priced: Networks with their costs.
    """
    whole = all(cost.joules is not None for _, cost in priced)
    energies = [cost.joules if whole else cost.tile_joules for _, cost in priced]
    known = [
        (entry, cost, joules) for (entry, cost), joules in zip(priced, energies, strict=True) if joules is not None
    ]

    def beats(other: tuple[RankedNetwork, Cost, float], one: tuple[RankedNetwork, Cost, float]) -> bool:
        metric, mean, others = one[0].result.metric, one[0].state.value.mean, other[0].state.value.mean
        comparable = same_moment(other[0].state, one[0].state)
        better = not at_least_as_good(mean, others, metric) or other[2] < one[2]
        return comparable and at_least_as_good(others, mean, metric) and other[2] <= one[2] and better

    return tuple(
        CostPoint(entry=one[0], cost=one[1], joules=one[2], on_frontier=not any(beats(other, one) for other in known))
        for one in known
    )
