"""How networks differ at the strongest generic noise that all of them met: the demonstration's answer."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from analog_samson.analysis.labels import and_list
from analog_samson.analysis.runs import read_runs
from analog_samson.analysis.statistics import paired_difference
from analog_samson.report.contents import Contents
from analog_samson.report.formats import change, mean_and_std
from analog_samson.report.rendering import render_text
from analog_samson.report.value_tables import gaussian
from analog_samson.results.store import open_run


def stress_text(folders: Sequence[Path]) -> str:
    """The values at the largest sigma_c, the last network minus each other one, and the table of all sigma_c.

    Args:
        folders: Runs with equal sweeps of sigma_c; each network was trained once.
    """
    with ExitStack() as stack:
        report = Contents(read_runs([stack.enter_context(open_run(folder)) for folder in folders]))
    table, metric = gaussian(report), report.metric
    assert table is not None
    last = {result.checkpoint: result.sweep[-1] for result in report.swept}
    *others, best = last
    sigma, chips = last[best].sigma_c, last[best].value.n
    values = [f"{name} {mean_and_std(point.value, metric.decimals)} {metric.unit}" for name, point in last.items()]
    found = {other: paired_difference(last[other].values, last[best].values) for other in others}
    leads = [f"minus {other} {change(lead, metric)}" for other, lead in found.items() if lead is not None]
    text = (
        f"At sigma_c {sigma:g} (each weight times a factor from N(1, {sigma:g}^2)), on {chips} simulated chips: "
        f"{and_list(values)}. {best} {and_list(leads)}. One training each: the intervals are over chips, and other "
        "seeds train other networks."
    )
    return render_text([text, table])
