"""`analog-samson convert`: what a model becomes on a preset's hardware."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

from analog_samson.cli.from_options import Given, takes
from analog_samson.cli.shared import PresetFolders
from analog_samson.options import Shown, Written
from analog_samson.simulation.options import HARDWARE, NETWORK, OUTPUT, PRESET, KeepDigital, ModelName, PresetName

EXAMPLE = "analog-samson convert --model resnet20 --preset pcm_rasch_2023 --input-shape 3,32,32"


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"expected whole numbers above 0 such as 3,32,32, got {text!r}") from None


class ConvertCommand(PresetFolders):
    """Show which layers go on analog tiles, and the hardware they need."""

    NAME = "convert"
    PANELS = (NETWORK, HARDWARE, OUTPUT)

    model: ModelName = None
    checkpoint: Annotated[
        str | None,
        Field(description="Checkpoint or zoo:NAME, to check its weights too."),
        Shown(panel=NETWORK, metavar="FILE"),
    ] = None
    input_shape: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...] | None,
        Field(min_length=1, description="Shape of one sample, to count multiply-accumulates (MACs)."),
        Written(_shape, str, "C,H,W"),
        Shown(panel=NETWORK),
    ] = None
    preset: PresetName = PRESET
    keep_digital: KeepDigital = ()
    out: Annotated[
        Path | None,
        Field(description="Also write plan and summary as JSON."),
        Shown(panel=OUTPUT, metavar="FILE.json"),
    ] = None

    def problems(self) -> Iterator[str]:
        if self.model is None and self.checkpoint is None:
            yield "give --model NAME, --checkpoint FILE, or both"
        if self.out is not None and self.out.suffix != ".json":  # so that --out never overwrites a checkpoint
            yield f"--out {self.out}: expected a file name that ends in .json"


@takes(ConvertCommand, EXAMPLE)
def convert(given: Given) -> None:
    from analog_samson.simulation.conversion import describe_conversion

    options = ConvertCommand.from_text(given)
    print(
        describe_conversion(
            options.model,
            options.checkpoint,
            options.preset,
            keep_digital=options.keep_digital,
            input_shape=options.input_shape,
            out=options.out,
        )
    )
