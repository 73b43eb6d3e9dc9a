"""Checkpoints on presets over time, side by side."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from analog_samson.analysis.comparison import refuse_unequal
from analog_samson.analysis.frames import cell_columns, cell_rows
from analog_samson.analysis.labels import few_names
from analog_samson.analysis.runs import META_KEYS, Run, read_runs, shared_metric
from analog_samson.errors import OptionError, RunError
from analog_samson.presets.validity import validity_of
from analog_samson.results.loaded import LoadedRun
from analog_samson.results.metric import stored_task
from analog_samson.simulation.drift import Progress
from analog_samson.simulation.jobs import SweepJob
from analog_samson.simulation.result import SimulationResult

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Comparison:
    """Runs of several checkpoints or presets that met the same images and the same simulated chips.

    Made by `compare_runs` from run folders or by `Comparison.of` from results in memory.
    """

    runs: tuple[Run, ...] = field(repr=False)

    @classmethod
    def of(cls, results: Mapping[str, SimulationResult | Sequence[SimulationResult]]) -> "Comparison":
        """A comparison of results of `simulate_drift`; they must come from equal data and an equal seed.

        Args:
            results: By the name of the network: its result, or its results on several presets.

        >>> from torch import eye, nn, tensor
        >>> from analog_samson import load_preset, simulate_drift
        >>> model, data = nn.Linear(2, 2, bias=False), [(eye(2), tensor([0, 1]))]
        >>> _ = nn.init.eye_(model.weight)
        >>> pcm = load_preset("pcm_nandakumar_2019")
        >>> results = {
        ...     name: simulate_drift(model, pcm, data, times=[3600.0], instances=2, seed=0, label=name)
        ...     for name in ("first", "second")
        ... }
        >>> Comparison.of(results).differences()[["network", "minus", "mean", "significant"]].values.tolist()
        [['second', 'first', 0.0, False]]
        """
        listed = {name: [one] if isinstance(one, SimulationResult) else list(one) for name, one in results.items()}
        runs = tuple(
            _run_of(name, result, name if len(own) == 1 else f"{name}/{(result.preset or {}).get('name', place)}")
            for name, own in listed.items()
            for place, result in enumerate(own)
        )
        shared_metric([run.meta for run in runs], [Path(run.name) for run in runs], None)
        refuse_unequal(runs)
        return cls(runs)

    def frame(self) -> "pd.DataFrame":
        """One row a cell (checkpoint, preset, AdaBS, instance, moment), its metrics in columns of their own.

        coverage: "extrapolated" or "interpolated" where the preset's source does not give the moment, else empty.
        """
        import pandas as pd

        rows = [
            row for run in self.runs for row in cell_rows(run.records, validity_of(run.meta["preset"]), run.estimated)
        ]
        columns = cell_columns(
            (record for run in self.runs for record in run.records), estimated=any(run.estimated for run in self.runs)
        )
        return pd.DataFrame(rows, columns=columns).drop_duplicates(ignore_index=True)

    def differences(self) -> "pd.DataFrame":
        """Paired differences of every pair on every preset at the last time, each with a 95 % interval."""
        from analog_samson.report.comparison_tables import difference_numbers
        from analog_samson.report.contents import Contents

        return difference_numbers(Contents(self.runs))

    def preset_differences(self) -> "pd.DataFrame":
        """Every network on one preset minus itself on another, at every time, each with a 95 % interval."""
        from analog_samson.report.contents import Contents
        from analog_samson.report.preset_tables import preset_difference_numbers

        return preset_difference_numbers(Contents(self.runs))

    def summary(self) -> str:
        """The answer in words and all tables, as `analog-samson report` prints them."""
        from analog_samson.report.command import FORMATS
        from analog_samson.report.contents import Contents

        return FORMATS["text"](Contents(self.runs))

    def to_csv(self, path: str | Path) -> None:
        """Write `frame()` as CSV, a row a cell."""
        self.frame().to_csv(path, index=False, lineterminator="\n")

    def plot(self, ax: "Axes | None" = None) -> "Figure":
        """The metric over time, a part for each preset where there are several networks and presets.

        Args:
            ax: Axes of the caller's to draw all curves on; None makes a figure.

        Returns:
            The matplotlib figure.
        """
        from analog_samson.report.drawing import WIDE, make_figure
        from analog_samson.report.figures import over_time, over_time_figure

        results = [result for run in self.runs for result in run.results]
        drawing = over_time(results)
        if drawing is None:
            raise OptionError("plot: nothing was simulated at two moments or more")
        return make_figure(drawing, WIDE) if ax is None else over_time_figure(results, ax)

    def __repr__(self) -> str:
        """What is compared, in a line."""
        names = [run.name for run in self.runs]
        return f"<Comparison of {len(names)} runs: {few_names(names)}>"

    def _repr_html_(self) -> str:
        """The answer, the table and the figure, for a notebook."""
        from analog_samson.report.notebook import runs_html

        return runs_html(self.runs)

    def __str__(self) -> str:
        """The answer in a sentence."""
        from analog_samson.report.contents import Contents
        from analog_samson.report.headline import headline

        return headline(Contents(self.runs)).sentence


def run_comparison(
    jobs: Sequence[SweepJob], *, command: str = "", progress: Progress = lambda text: None
) -> Comparison:
    """Simulate or resume every job, one after the other, and compare them."""
    for job in jobs:
        job.run(command=command, progress=progress)
    return compare_runs([job.folder for job in jobs])


def compare_runs(folders: Sequence[Path]) -> Comparison:
    """Compare run folders; raises RunError with every difference in data, limit, seed or preset content."""
    if len(folders) < 2:
        raise RunError("nothing to compare: give two run folders or more")
    runs = read_runs([LoadedRun(folder, META_KEYS) for folder in folders])
    refuse_unequal(runs)
    return Comparison(runs)


def _run_of(name: str, result: SimulationResult, run_name: str) -> Run:
    """A run that was never on disk. That results come from equal data and seeds is the caller's word."""
    records = tuple(replace(record, checkpoint=name) for record in result.records)
    meta = dict.fromkeys(META_KEYS) | {"preset": result.preset}
    content = json.dumps(result.preset, sort_keys=True).encode()
    meta |= {
        "data": {"name": "in memory", "fingerprint": "in memory", "count": result.samples},
        "seed": result.seed,
        "preset_sha256": hashlib.sha256(content).hexdigest(),
        "task": stored_task("in memory", result.metrics),
    }
    results = tuple(replace(found, checkpoint=name) for found in result.results())
    return Run(name=run_name, options={}, meta=meta, records=records, results=results)
