"""`analog-samson convert`: what a model becomes on a preset's hardware."""

from pathlib import Path
from typing import Annotated

import typer

from analog_samson.cli.preset_dirs import PresetDirs, resolve_preset
from analog_samson.errors import OptionError

EXAMPLE = "Example:\n\nanalog-samson convert --model resnet20 --preset pcm_rasch_2023 --input-shape 3,32,32"


def convert(
    model: Annotated[str | None, typer.Option(help="Model name, if the checkpoint does not say it.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Checkpoint or zoo:NAME, to check its weights too.")] = None,
    preset: Annotated[str, typer.Option(help="Hardware preset, by name or TOML file.")] = "pcm_nandakumar_2019",
    preset_dir: PresetDirs = None,
    keep_digital: Annotated[list[str] | None, typer.Option(help="Layer path or pattern that stays digital.")] = None,
    input_shape: Annotated[
        str | None, typer.Option(help="C,H,W of one sample, to count multiply-accumulates (MACs).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write plan and summary as JSON.")] = None,
) -> None:
    from analog_samson.simulation.conversion import describe_conversion

    if model is None and checkpoint is None:
        raise OptionError("convert: give --model NAME, --checkpoint FILE, or both")
    _check_name(out)
    shape = _parse_shape(input_shape)
    found, kept = resolve_preset(preset, preset_dir), tuple(keep_digital or ())
    print(describe_conversion(model, checkpoint, found, keep_digital=kept, input_shape=shape, out=out))


convert.__doc__ = f"Show which layers go on analog tiles, and the hardware they need.\n\n{EXAMPLE}"


def _check_name(out: Path | None) -> None:
    """Raise OptionError for a file that is not JSON by its name, so that --out never overwrites a checkpoint."""
    if out is not None and out.suffix != ".json":
        raise OptionError(f"--out {out}: expected a file name that ends in .json")


def _parse_shape(text: str | None) -> tuple[int, ...] | None:
    try:
        shape = None if text is None else tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if shape is not None and (not shape or min(shape) < 1):
        raise OptionError(f"--input-shape {text!r}: expected whole numbers above 0 such as 3,32,32")
    return shape
