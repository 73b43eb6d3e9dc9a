"""All experiments with what they cost, as text. No torch."""

from analog_samson.experiments.catalogue import list_experiments, networks_of
from analog_samson.experiments.cost import estimate_seconds, format_seconds
from analog_samson.experiments.plan import Overrides, count_planned, plan_candidates, plan_cells
from analog_samson.experiments.schema import Cost, Experiment, NoNetworks, OwnNetworks
from analog_samson.report.rendering import render_text
from analog_samson.report.table import text_table

SCALES = ("mini", "paper")
_NOTE = (
    "Estimates by the cost model in each experiment's file, for everything from the start. "
    "Experiments that share networks (column `networks of`) train them once if they are given one --out."
)


def list_text() -> str:
    """One row an experiment, then the machines that the estimates are for."""
    experiments = list_experiments()
    rows = tuple(_row(experiment) for experiment in experiments)
    headers = ("name", "shows", "networks of", *(f"{scale}: networks, time" for scale in SCALES))
    machines = [_machine(scale, cost) for scale in SCALES for cost in _costs(experiments, scale)]
    return render_text([text_table(title="Experiments", headers=headers, rows=rows, align="lllrr"), _NOTE, *machines])


def scale_cost(experiment: Experiment, scale_name: str) -> tuple[int, float]:
    """How many networks a scale shows, and the seconds that all its cells take, tuning included."""
    networks = networks_of(experiment)
    scale = networks.scale(scale_name)
    candidates = plan_candidates(networks, scale, Overrides())
    # The cost of a training does not depend on which candidate is chosen: the first one stands for it.
    first = {(cell.setting.name, cell.method): cell.chosen for cell in reversed(candidates)}
    cells = [*plan_cells(networks, scale, Overrides(), first), *candidates]
    seconds = estimate_seconds(cells, scale, experiment.shows, tuning=networks.own.tuning)
    return count_planned(networks, scale, Overrides()), seconds


def _row(experiment: Experiment) -> tuple[str, ...]:
    networks = experiment.networks
    if isinstance(networks, NoNetworks):
        return experiment.name, experiment.title, "none", *("0, seconds" for _ in SCALES)
    costs = []
    for scale in SCALES:
        known = scale in networks_of(experiment).own.scales
        count, seconds = scale_cost(experiment, scale) if known else (0, 0.0)
        costs.append(f"{count}, {format_seconds(seconds)}" if known else "-")
    return experiment.name, experiment.title, getattr(networks, "of", "its own"), *costs


def _costs(experiments: list[Experiment], scale: str) -> list[Cost]:
    """The different cost models of a scale."""
    found: list[Cost] = []
    for experiment in experiments:
        if isinstance(experiment.networks, OwnNetworks):
            found += [s.cost for name, s in experiment.networks.scales.items() if name == scale and s.cost not in found]
    return found


def _machine(scale: str, cost: Cost) -> str:
    return f"{scale}: {cost.machine}; {cost.basis}."
