"""`analog-samson average`: several trained networks as one."""

from pathlib import Path
from typing import Annotated

import typer

from analog_samson.errors import OptionError

EXAMPLE = (
    "Example:\n\nanalog-samson average --checkpoint start.safetensors --checkpoint tuned.safetensors "
    "--data cifar10:DIR --out runs/average"
)


def average(
    checkpoint: Annotated[list[str], typer.Option(help="Checkpoint or zoo:NAME; give two or more.")],
    shares: Annotated[
        str | None, typer.Option(help="Of each checkpoint, such as 0.3,0.7.", show_default="equal parts")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model name, if the checkpoints do not say it.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Training images for batch-norm statistics, as for train --data.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Use only so many of them.")] = 5000,
    normalization: Annotated[
        str | None, typer.Option(help="Of the input, as for simulate; default: the checkpoints'.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the crops and flips of these images.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images a batch.")] = 250,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    out: Annotated[Path, typer.Option(help="Folder for checkpoint.safetensors.")] = Path("runs/average"),
) -> None:
    from analog_samson.training.averaging_run import AverageOptions, average_checkpoints, average_path, write_average

    average_path(out)  # refused before the work, not after it
    options = AverageOptions(
        checkpoints=tuple(checkpoint),
        shares=_parse_shares(shares),
        model=model,
        data=data,
        limit=limit,
        normalization=normalization,
        seed=seed,
        batch_size=batch_size,
        device=device,
    )
    averaged = average_checkpoints(options)
    for path, source in zip(checkpoint, averaged.metadata["averaged"], strict=True):
        print(f"{source['share']:.3g} of {path}")
    statistics = averaged.metadata.get("statistics")
    if statistics is not None:
        print(f"batch-norm statistics recomputed on {statistics['images']} images of {statistics['data']}")
    print(f"wrote {write_average(averaged, out)}")


average.__doc__ = f"Average the weights of networks that were trained from one start.\n\n{EXAMPLE}"


def _parse_shares(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise OptionError(f"--shares {text!r}: expected numbers such as 0.3,0.7") from None
