"""`analog-samson average`: several trained networks as one."""

from pathlib import Path
from typing import Annotated

from analog_samson.cli.from_options import Given, takes
from analog_samson.options import option
from analog_samson.training.averaging_run import AverageOptions, average_checkpoints, average_path, write_average

EXAMPLE = (
    "analog-samson average --checkpoint start.safetensors --checkpoint tuned.safetensors --data cifar10:DIR "
    "--out runs/average"
)


class AverageCommand(AverageOptions):
    """Average the weights of networks that were trained from one start."""

    out: Annotated[Path, option("Folder for checkpoint.safetensors.", metavar="DIR")] = Path("runs/average")


@takes(AverageCommand, EXAMPLE)
def average(given: Given) -> None:
    options = AverageCommand.from_text(given)
    average_path(options.out)  # refused before the work, not after it
    averaged = average_checkpoints(options)
    for path, source in zip(options.checkpoints, averaged.metadata["averaged"], strict=True):
        print(f"{source['share']:.3g} of {path}")
    statistics = averaged.metadata.get("statistics")
    if statistics is not None:
        print(f"batch-norm statistics recomputed on {statistics['images']} images of {statistics['data']}")
    print(f"wrote {write_average(averaged, options.out)}")
