"""The options of `analog-samson reproduce`."""

from pathlib import Path
from typing import Annotated, Literal

from analog_samson.experiments.plan import Overrides
from analog_samson.experiments.runner import RunOptions
from analog_samson.experiments.sources import Sources
from analog_samson.options import DATA, MACHINE, OUTPUT, Options, Shown, Written, option
from analog_samson.options.seeds import parse_seeds
from analog_samson.runtime.workers import Pool
from analog_samson.simulation.options import MaybeCount, write_list

EXPERIMENT, TRIAL = "Experiment", "Trial runs; the results say so"
_FOLDER = Shown(panel=DATA, metavar="DIR")
_DATASET = Shown(panel=DATA, metavar="DIR|npz:FILE")


class ReproduceOptions(Options):
    """Run one of the paper's tables or figures, and set the result beside the paper's numbers."""

    NAME = "reproduce"
    PANELS = (EXPERIMENT, DATA, TRIAL, MACHINE, OUTPUT)

    name: Annotated[
        str | None, option("table1-3, fig1-9 or another of --list, or a .toml file.", metavar="NAME", is_argument=True)
    ] = None
    list_all: Annotated[
        bool, option("List all experiments with their costs, and stop.", EXPERIMENT, flags=("--list",))
    ] = False
    scale: Annotated[
        Literal["mini", "paper"],
        option("How much is done: mini (two cores, hours) or paper (a GPU, days).", EXPERIMENT),
    ] = "mini"
    only: Annotated[
        str,
        option(
            "Run the networks with this in their name, e.g. digits or samson_inf; several: a,b.",
            EXPERIMENT,
            "NAMES",
            default="all",
        ),
    ] = ""
    seeds: Annotated[
        tuple[int, ...] | None,
        option("Seeds of the trainings, e.g. 0,1,2 or 0-9.", EXPERIMENT, default="those of the file"),
        Written(parse_seeds, write_list, "SEEDS"),
    ] = None
    trust: Annotated[
        tuple[str, ...],
        option("Network package.module:callable that the .toml file names; repeat for more.", EXPERIMENT, "CODE"),
    ] = ()
    data_root: Annotated[Path | None, option("Folder that holds the datasets."), _FOLDER] = None
    cifar10: Annotated[str | None, option("CIFAR-10."), _DATASET] = None
    cifar10_test: Annotated[str | None, option("Its test images, if in a file of their own."), _DATASET] = None
    cifar100: Annotated[str | None, option("CIFAR-100."), _DATASET] = None
    imagenet: Annotated[str | None, option("ImageNet, with train and val."), _FOLDER] = None
    checkpoints: Annotated[Path | None, option("Folder with files to fine-tune."), _FOLDER] = None
    limit_epochs: Annotated[MaybeCount, option("At most so many epochs.", TRIAL)] = None
    limit_images: Annotated[MaybeCount, option("The first N images of each set.", TRIAL)] = None
    instances: Annotated[MaybeCount, option("Simulated chips.", TRIAL, default="those of the file")] = None
    network: Annotated[str | None, option("Another network in place of each.", TRIAL, "NAME")] = None
    data: Annotated[str | None, option("Other data in place of each.", TRIAL, "DATA")] = None
    device: Annotated[str, option("cpu, cuda, cuda:N or auto.", MACHINE, "DEVICE")] = "cpu"
    threads: Annotated[MaybeCount, option("CPU threads.", MACHINE, default="cores / workers")] = None
    workers: Annotated[int, option("Trainings at a time.", MACHINE, ge=1)] = 1
    backend: Annotated[str, option("loky, dask or ray: what runs several workers.", MACHINE, "NAME")] = "loky"
    out: Annotated[
        Path | None,
        option("Folder of the results; rerun the same command to resume.", OUTPUT, "DIR", default="runs/NAME"),
    ] = None

    def running(self, name: str) -> RunOptions:
        """How the experiment of that name is run."""
        overrides = {field: getattr(self, field) for field in Overrides.__dataclass_fields__}
        given = {"cifar10": self.cifar10, "cifar100": self.cifar100, "imagenet": self.imagenet}
        sources = Sources(
            data_root=self.data_root,
            given={dataset: place for dataset, place in given.items() if place},
            given_test={"cifar10": self.cifar10_test} if self.cifar10_test else {},
            checkpoints=self.checkpoints,
        )
        return RunOptions(
            scale=self.scale,
            out=self.out or Path("runs") / name,
            overrides=Overrides(**overrides),
            sources=sources,
            device=self.device,
            threads=self.threads,
            pool=Pool(workers=self.workers, backend=self.backend),
        )
