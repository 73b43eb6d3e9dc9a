"""`analog-samson cost`: what an inference takes on a preset's chip."""

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.shared import PresetFolders
from analog_samson.report.cost_tables import cost_table
from analog_samson.report.rendering import render_text
from analog_samson.simulation.costing import CostOptions, cost_of_options


class CostCommand(PresetFolders, CostOptions):
    """Show tiles, area, energy and latency of an inference from the published figures of a preset's chip."""


@takes(CostCommand, "analog-samson cost --model resnet20 --preset pcm_hermes_2023_two_devices --input-shape 3,32,32")
def cost(given: Given) -> None:
    print(render_text([cost_table({"network": cost_of_options(CostCommand.from_text(given))})]), end="")
