"""What a report is about: runs, and everything that is computed from them, once."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from analog_samson.analysis.comparison import Comparison, compare, same_moment
from analog_samson.analysis.cost import Cost
from analog_samson.analysis.error_budget import ErrorBudget
from analog_samson.analysis.labels import calibrated_name
from analog_samson.analysis.lifetime import Lifetime, lifetimes
from analog_samson.analysis.preset_comparison import PresetVerdict, compare_presets, preset_verdicts
from analog_samson.analysis.ranking import Ranking, network_name, rank_networks
from analog_samson.analysis.run_cost import CostPoint, cost_points, run_cost
from analog_samson.analysis.runs import Run
from analog_samson.analysis.summary import Result, State
from analog_samson.presets.search import is_built_in
from analog_samson.results.metric import Metric

FEW = 2  # results; of more, tables say it better than sentences
Cells = Sequence[tuple[Result, State]]  # of a heat map
MOST_CURVES = 8  # results that a figure can tell apart; more are shown as a heat map


def series_labels(results: Sequence[Result]) -> list[str]:
    """The shortest labels that distinguish the results: checkpoint, and preset or calibration where they differ."""
    presets = {result.preset for result in results}
    apart = len({result.calibration for result in results}) > 1
    names = [result.checkpoint + (f" on {result.preset}" if len(presets) > 1 else "") for result in results]
    return [
        calibrated_name(name, result.calibration) if apart else name
        for name, result in zip(names, results, strict=True)
    ]


class Contents:
    """Runs and what is computed from them.

    Attributes:
        runs: As `read_runs` gives them.
        threshold: The value that lifetime and yield ask for, in the metric's unit; None: losses from the digital value.
        digital_pj_per_mac: Energy of a multiply-accumulate that stays digital [pJ]; None: not known.
    """

    def __init__(
        self, runs: Sequence[Run], threshold: float | None = None, digital_pj_per_mac: float | None = None
    ) -> None:
        self.runs, self.threshold, self.digital_pj_per_mac = tuple(runs), threshold, digital_pj_per_mac

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """Every result of every run."""
        return tuple(result for run in self.runs for result in run.results)

    @cached_property
    def simulated(self) -> tuple[Result, ...]:
        """The results that have at least one state on the device."""
        return tuple(result for result in self.results if result.states)

    @cached_property
    def swept(self) -> tuple[Result, ...]:
        """The results that have a Gaussian sweep."""
        return tuple(result for result in self.results if result.sweep)

    @cached_property
    def crowded(self) -> bool:
        """Whether there are more results than curves can show: the report then begins with a heat map."""
        return len(self.simulated) > MOST_CURVES

    @cached_property
    def metric(self) -> Metric:
        """What all results measure."""
        return self.results[0].metric

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every pair of results on one preset."""
        return compare(self.runs)

    @cached_property
    def leading(self) -> tuple[Comparison, ...]:
        """The comparisons with the first result of each preset."""
        return tuple(comparison for comparison in self.comparisons if comparison.leading)

    @cached_property
    def preset_comparisons(self) -> tuple[Comparison, ...]:
        """Every network on its first and on its best preset against the others."""
        return compare_presets(self.runs)

    @cached_property
    def preset_verdicts(self) -> tuple[PresetVerdict, ...]:
        """Which preset is best for each network."""
        return preset_verdicts(self.preset_comparisons)

    @cached_property
    def ranking(self) -> Ranking:
        """All networks on all presets at their last shared moments."""
        return rank_networks(self.runs, self.comparisons)

    @cached_property
    def heat_maps(self) -> tuple[Cells, ...]:
        """The results at the last moment that all networks on a preset share, then at every other that all share.

        None where curves can show all results.
        """
        found = [[(entry.result, entry.state) for entry in self.ranking.entries]]
        if not self.crowded or not found[0]:
            return ()
        for state in reversed(self.simulated[0].states):
            pairs = [(result, one) for result in self.simulated for one in result.states if same_moment(one, state)]
            if len(pairs) == len(self.simulated) and {id(one) for _, one in pairs} != {id(one) for _, one in found[0]}:
                found.append(pairs)
        return tuple(found)

    @cached_property
    def has_ranks(self) -> bool:
        """Whether there are so many networks and presets that ranks say more than one difference does."""
        networks, presets = len(self.ranking.networks), len(self.ranking.presets)
        return bool(self.ranking.entries) and (networks > 2 or (networks > 1 and presets > 1))

    @cached_property
    def lifetimes(self) -> tuple[tuple[Result, tuple[Lifetime, ...]], ...]:
        """The results that were simulated over time with their lifetimes, the least loss first."""
        found = ((result, lifetimes(result, self.threshold)) for result in self.results)
        return tuple((result, ages) for result, ages in found if ages)

    @cached_property
    def budgets(self) -> tuple[tuple[Run, ErrorBudget], ...]:
        """The runs that have an error budget, those of single seeds one by one."""
        return tuple((part, part.error_budget) for run in self.runs for part in run.stored if part.error_budget)

    @cached_property
    def costs(self) -> tuple[tuple[Run, Cost], ...]:
        """The runs whose preset says what an inference costs."""
        found = ((run, run_cost(run, self.digital_pj_per_mac)) for run in self.runs)
        return tuple((run, cost) for run, cost in found if cost is not None)

    @cached_property
    def cost_points(self) -> tuple[CostPoint, ...]:
        """The networks at their last moments with their energy, where at least two energies differ."""
        priced = {_key(result): cost for run, cost in self.costs for result in run.results}
        found = [(entry, priced[key]) for entry in self.ranking.entries if (key := _key(entry.result)) in priced]
        points = cost_points(found)
        return points if len({point.joules for point in points}) > 1 else ()

    def label(self, result: Result) -> str:
        """The shortest label that tells a result from all others."""
        return self._labels[_key(result)]

    @cached_property
    def _labels(self) -> dict[Any, str]:
        return dict(zip(map(_key, self.results), series_labels(self.results), strict=True))

    def preset_title(self, name: str) -> str:
        """What headings call a preset: its title; with its name where the package does not ship it.

        A preset that was copied from one of ours may still have its title.
        """
        presets = [run.meta["preset"] for run in self.runs if run.meta["preset"]]
        title = next((preset.get("title") for preset in presets if preset["name"] == name), None)
        if not title:
            return name
        return str(title) if is_built_in(name) else f"{title} ({name})"

    def network(self, result: Result) -> str:
        """A network with its calibration, whatever preset it is on."""
        return network_name(result)


def _key(result: Result) -> tuple[str, str, str]:
    return result.checkpoint, result.preset, result.calibration
