"""`analog-samson convert`: what a model becomes on a preset's hardware."""

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.shared import PresetFolders
from analog_samson.simulation.conversion import ConvertOptions, describe_conversion


class ConvertCommand(PresetFolders, ConvertOptions):
    """Show which layers go on analog tiles, and the hardware they need."""


@takes(ConvertCommand, "analog-samson convert --model resnet20 --preset pcm_rasch_2023 --input-shape 3,32,32")
def convert(given: Given) -> None:
    print(describe_conversion(ConvertCommand.from_text(given)))
