"""The tables of what an inference costs: the figures of one network, networks side by side, quality against energy."""

from collections.abc import Sequence
from dataclasses import asdict

from analog_samson.analysis.cost import Cost
from analog_samson.analysis.cost_figures import CostFigure
from analog_samson.report.table import Column, Table, frame_of


def cost_table(cost: Cost, figures: Sequence[CostFigure]) -> Table:
    """Every figure of one cost with its assumption."""
    return Table(
        title=f"Cost of an inference on {cost.preset}, read mode {cost.mode}",
        frame=frame_of(
            {"figure": figure.title, "value": str(figure), "assumption": figure.assumption} for figure in figures
        ),
        columns=[Column("figure"), Column("value", align="r"), Column("assumption", wrap=True)],
        data=frame_of(asdict(figure) for figure in figures),
    )
