"""The fewest layers kept digital that hold a threshold, from how much each layer costs alone on the device."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

from analog_samson.analysis.exploration import ThresholdMap, Verdict
from analog_samson.analysis.explored import LayerChoice, LayerExploration
from analog_samson.crossbar.coverage import CoverageWarning
from analog_samson.crossbar.plan import PlanRow
from analog_samson.errors import OptionError
from analog_samson.runtime.workers import Pool
from analog_samson.simulation.explore_options import ExploreOptions
from analog_samson.simulation.explore_points import PointResult, Points, Say
from analog_samson.simulation.ranges import run_plan
from analog_samson.simulation.variants import all_names, analog_layers


def explore_layers(
    options: ExploreOptions, out: Path, pool: Pool, *, command: str = "", say: Say = lambda text: None
) -> LayerExploration:
    """Find few layers that have to stay digital.

    Each layer alone on the device says how sensitive it is. Bisection finds how many of the most sensitive ones have
    to be digital; then those that are not needed after all go back to the device, the one with most weights first. So
    no layer of the choice can be left out, though another choice may have fewer weights.

    Args:
        options: The network, the preset and what is kept.
        out: The folder; points are run folders `out`/points/NAME.
        pool: Who runs the simulations.
        command: What the run folders say that made them.
        say: Gets a line for each point.

    Raises:
        AnalogSamsonError: As for `explore`; also for a network with one layer on the device.
    """
    study = _Layers(options, out, pool, command, say)
    as_is = study.measure(())
    ranking: list[tuple[str, float]] = []
    chosen: LayerChoice | None = as_is
    if as_is.margin.verdict != Verdict.HOLDS:
        ranking = study.ranking()
        chosen = study.fewest([path for path, _ in ranking])
    return LayerExploration(
        ranking=ranking,
        measured=tuple(study.measured),
        chosen=chosen,
        layers=len(study.rows),
        **study.points.held(),
    )


class _Layers:
    """The layers of a network, and simulations with some of them digital."""

    def __init__(self, options: ExploreOptions, out: Path, pool: Pool, command: str, say: Say) -> None:
        self.options, self.points = options, Points(options, out, pool, command, say)
        self.plan = run_plan(self.points.inputs, options.of_point())
        self.rows: list[PlanRow] = analog_layers(self.plan)
        if len(self.rows) < 2:
            raise OptionError(f"--layers: the network has {len(self.rows)} layer on the device; nothing to choose from")
        self.measured: list[LayerChoice] = []

    def measure(self, kept: Sequence[str]) -> LayerChoice:
        """The chips with these layers digital."""
        digest = hashlib.sha256("\n".join(sorted(kept)).encode()).hexdigest()[:8]
        name = f"{len(kept)}_digital_{digest}" if kept else "as_is"
        result = self._run({name: kept})[name]
        choice = LayerChoice(
            layers=tuple(kept),
            margin=result.margin,
            parameters_percent=result.digital_parameters_percent,
            macs_percent=result.digital_macs_percent,
        )
        self.measured.append(choice)
        return choice

    def ranking(self) -> list[tuple[str, float]]:
        """Every layer with its loss alone on the device, the largest first."""
        paths = [row.path for row in self.rows]
        alone = self._run({f"only_{path}": [other for other in paths if other != path] for path in paths})
        found = [(path, alone[f"only_{path}"].loss) for path in paths]
        return sorted(found, key=lambda each: (-each[1], each[0]))

    def fewest(self, ranking: Sequence[str]) -> LayerChoice | None:
        """The choice that holds; None where even one layer on the device is too many."""
        sensitive = {count: ranking[:count] for count in range(1, len(ranking))}
        found, choices = ThresholdMap([len(sensitive)], [1]), {}
        while cells := found.next_cells(1):
            count = cells[0][0] + 1
            choices[count] = self.measure(sensitive[count])
            found.verdicts[cells[0]] = choices[count].margin.verdict
        holding = [choice for choice in choices.values() if choice.margin.verdict == Verdict.HOLDS]
        if not holding:
            return None
        best = min(holding, key=lambda choice: len(choice.layers))
        weights = {row.path: row.weights for row in self.rows}
        for path in sorted(best.layers[:-1], key=lambda path: -weights[path]):
            choice = self.measure([layer for layer in best.layers if layer != path])
            if choice.margin.verdict == Verdict.HOLDS:
                best = choice
        return best

    def _run(self, kept: dict[str, Sequence[str]]) -> dict[str, PointResult]:
        points = {
            name: self.options.of_point(
                keep_digital=(*self.options.keep_digital, *all_names(self.plan, paths)),
                on_chip=tuple(row.path for row in self.rows if row.path not in paths),
            )
            for name, paths in kept.items()
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoverageWarning)  # that much is digital is what is explored
            return self.points.run(points)
