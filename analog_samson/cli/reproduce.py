"""`analog-samson reproduce`: the paper's tables and figures by name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analog_samson.errors import OptionError
from analog_samson.runtime.older_python import StrEnum
from analog_samson.seeds import parse_seeds

if TYPE_CHECKING:
    from analog_samson.experiments.plan import Overrides
    from analog_samson.experiments.sources import Sources

EXAMPLE = """Example:

analog-samson reproduce fig2 --scale mini --cifar10 DIR --checkpoints DIR --out runs/fig2
"""


class Scale(StrEnum):
    """mini: two cores, hours. paper: a GPU, days."""

    MINI = "mini"
    PAPER = "paper"


Text = str | None
Count = int | None
_TRIAL = "For trial runs; the results say so."
Name = Annotated[Text, typer.Argument(help="table1-3, fig1-9 or another of --list, or a .toml file.", metavar="NAME")]
Listed = Annotated[bool, typer.Option("--list", help="List all experiments with their costs, and stop.")]
ScaleOption = Annotated[Scale, typer.Option(help="How much is done, for what machine.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder of the results; rerun the same command to resume.", show_default="runs/NAME"),
]
Root = Annotated[Path | None, typer.Option(help="Folder that holds the datasets.", show_default=False)]
Cifar10 = Annotated[Text, typer.Option(help="CIFAR-10: its folder, or npz:FILE.", show_default=False)]
Cifar10Test = Annotated[Text, typer.Option(help="Its test images, if in a file of their own.", show_default=False)]
Cifar100 = Annotated[Text, typer.Option(help="CIFAR-100: its folder, or npz:FILE.", show_default=False)]
ImageNet = Annotated[Text, typer.Option(help="ImageNet: its folder, with train and val.", show_default=False)]
Checkpoints = Annotated[Path | None, typer.Option(help="Folder with files to fine-tune.", show_default=False)]
Only = Annotated[
    str, typer.Option(help="Run the networks with this in their name, e.g. digits or samson_inf; several: a,b.")
]
Seeds = Annotated[
    Text, typer.Option(help="Seeds of the trainings, e.g. 0,1,2 or 0-9.", show_default="those of the file")
]
LimitEpochs = Annotated[Count, typer.Option(help=f"At most so many epochs. {_TRIAL}", show_default=False)]
LimitImages = Annotated[Count, typer.Option(help=f"The first N images of each set. {_TRIAL}", show_default=False)]
Instances = Annotated[Count, typer.Option(help=f"Simulated chips. {_TRIAL}", show_default="those of the file")]
Network = Annotated[Text, typer.Option(help=f"Another network in place of each. {_TRIAL}", show_default=False)]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        help="Network package.module:callable that the .toml file names; repeat for more.", show_default=False
    ),
]
Data = Annotated[Text, typer.Option(help=f"Other data in place of each. {_TRIAL}", show_default=False)]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:N or auto.")]
Threads = Annotated[Count, typer.Option(help="CPU threads.", show_default="cores / workers", min=1)]
Workers = Annotated[int, typer.Option(help="Trainings at a time.", min=1)]
Backend = Annotated[str, typer.Option(help="loky, dask or ray: what runs several workers.")]


def reproduce(
    name: Name = None,
    list_all: Listed = False,
    scale: ScaleOption = Scale.MINI,
    out: Out = None,
    data_root: Root = None,
    cifar10: Cifar10 = None,
    cifar10_test: Cifar10Test = None,
    cifar100: Cifar100 = None,
    imagenet: ImageNet = None,
    checkpoints: Checkpoints = None,
    only: Only = "",
    seeds: Seeds = None,
    limit_epochs: LimitEpochs = None,
    limit_images: LimitImages = None,
    instances: Instances = None,
    network: Network = None,
    data: Data = None,
    trust: Trust = None,
    device: Device = "cpu",
    threads: Threads = None,
    workers: Workers = 1,
    backend: Backend = "loky",
) -> None:
    given = dict(locals())  # every option by its name
    if list_all:
        from analog_samson.experiments.listing import list_text

        print(list_text(), end="")
        return
    if name is None:
        raise OptionError("reproduce: name an experiment; `analog-samson reproduce --list` shows all")
    _reproduce(name, given)


reproduce.__doc__ = f"""Run one of the paper's tables or figures, and set the result beside the paper's numbers.

{EXAMPLE}"""


def _reproduce(name: str, given: dict[str, Any]) -> None:
    from analog_samson.experiments.catalogue import load_experiment
    from analog_samson.experiments.runner import RunOptions, reproduce_experiment
    from analog_samson.runtime.workers import Pool

    experiment = load_experiment(name, trusted=given["trust"] or ())
    options = RunOptions(
        scale=given["scale"].value,
        out=given["out"] or Path("runs") / experiment.name,
        overrides=_overrides(given),
        sources=_sources(given),
        device=given["device"],
        threads=given["threads"],
        pool=Pool(workers=given["workers"], backend=given["backend"]),
    )
    print(reproduce_experiment(experiment, options, _say), end="")


def _overrides(given: dict[str, Any]) -> "Overrides":
    from analog_samson.experiments.plan import Overrides

    names = ("limit_epochs", "limit_images", "instances", "only", "network", "data")
    seeds = None if given["seeds"] is None else parse_seeds(given["seeds"])
    return Overrides(seeds=seeds, **{name: given[name] for name in names})


def _sources(given: dict[str, Any]) -> "Sources":
    from analog_samson.experiments.sources import Sources

    return Sources(
        data_root=given["data_root"],
        given={name: given[name] for name in ("cifar10", "cifar100", "imagenet") if given[name]},
        given_test={"cifar10": given["cifar10_test"]} if given["cifar10_test"] else {},
        checkpoints=given["checkpoints"],
    )


def _say(text: str) -> None:
    typer.echo(text, err=True)
