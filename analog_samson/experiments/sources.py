"""Where the data and the starting checkpoints of an experiment lie on this machine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from analog_samson.errors import CheckpointError, DataError, list_faults
from analog_samson.experiments.plan import Cell

ONLY_DIGITS = "or add `--only digits` to run the part that needs no data"


@dataclass(frozen=True, kw_only=True)
class DataSpecs:
    """Training and test images, named as for --data."""

    train: str
    test: str


@dataclass(frozen=True, kw_only=True)
class _Dataset:
    """How a folder with this dataset looks. archive: what is unpacked into `folder`; scheme: its kind of --data."""

    scheme: str
    folder: str
    holds: tuple[str, ...]
    archive: str
    is_parent: bool


DATASETS = {
    "cifar10": _Dataset(
        scheme="cifar10",
        folder="cifar-10-batches-py",
        holds=("data_batch_1", "test_batch"),
        archive="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        is_parent=True,
    ),
    "cifar100": _Dataset(
        scheme="cifar100",
        folder="cifar-100-python",
        holds=("train", "test"),
        archive="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        is_parent=True,
    ),
    "imagenet": _Dataset(
        scheme="imagenet",
        folder="imagenet",
        holds=("train", "val"),
        archive="the ILSVRC 2012 images from https://image-net.org, one folder a class",
        is_parent=False,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What the user said about files. given, given_test: a folder or a --data text for each named dataset.

    data_root: folder that holds the datasets; checkpoints: folder that holds files to start from.
    """

    data_root: Path | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    given_test: Mapping[str, str] = field(default_factory=dict)
    checkpoints: Path | None = None

    def data(self, name: str) -> DataSpecs:
        """The data of that name; DataError says where to get what is not there, and how it has to lie."""
        if name == "digits" or ":" in name:
            return DataSpecs(train=name, test=name)
        dataset = DATASETS.get(name)
        if dataset is None:
            raise DataError(f"data {name!r}: expected digits, {', '.join(DATASETS)} or a text as for --data")
        found = self._found(name, dataset)
        if found is None:
            raise DataError(self._missing(name, dataset))
        return DataSpecs(train=found.train, test=self.given_test.get(name, found.test))

    def checkpoint(self, name: str, where: str) -> Path:
        """The file of that name in the folder of checkpoints."""
        folder = self.checkpoints
        if folder is not None and (folder / name).is_file():
            return folder / name
        looked = "no --checkpoints DIR was given" if folder is None else f"not in {folder}"
        raise CheckpointError(
            f"checkpoint {name}: {looked}; get it from {where}, put it into a folder "
            f"and name that with --checkpoints, {ONLY_DIGITS}"
        )

    def _found(self, name: str, dataset: _Dataset) -> DataSpecs | None:
        given = self.given.get(name)
        if given is not None and ":" in given:
            return DataSpecs(train=given, test=given)
        roots = [Path(given)] if given is not None else [self.data_root] if self.data_root is not None else []
        return next(filter(None, (_in_folder(root.expanduser(), name, dataset) for root in roots)), None)

    def _missing(self, name: str, dataset: _Dataset) -> str:
        place = self.given.get(name) or self.data_root
        looked = (
            f"nothing was said about where it is (--data-root DIR or --{name} DIR)"
            if place is None
            else (f"not found in {place}")
        )
        inside = f"{dataset.folder}/ with {', '.join(dataset.holds)}"
        return (
            f"data {name}: {looked}; expected {inside} (from {dataset.archive}), "
            f"or {name}_train.npz and {name}_test.npz with arrays images (N, H, W, C) uint8 and labels (N,); "
            f"or --{name} npz:FILE with arrays train_images, train_labels, test_images and test_labels; {ONLY_DIGITS}"
        )


def check_sources(cells: Iterable[Cell], sources: Sources) -> None:
    """Raise one error for all data and checkpoints that `cells` need and that are not there."""
    faults: dict[str, type[DataError] | type[CheckpointError]] = {}
    for cell in cells:
        for look in (partial(sources.data, cell.data), partial(start_of, cell, sources)):
            try:
                look()
            except (DataError, CheckpointError) as error:
                faults.setdefault(str(error), type(error))
    if len(faults) == 1:
        text, kind = next(iter(faults.items()))
        raise kind(text)
    if faults:
        raise DataError(list_faults("reproduce", list(faults)))


def start_of(cell: Cell, sources: Sources) -> Path | None:
    """The file that a cell starts from, if it starts from one."""
    if cell.start_file is None or cell.setting.start.model != "checkpoint":
        return None
    return sources.checkpoint(cell.start_file, cell.setting.start.where)


def _in_folder(root: Path, name: str, dataset: _Dataset) -> DataSpecs | None:
    """What lies in `root`: the unpacked archive (or `root` is it), or two npz files."""
    folder = root if root.name == dataset.folder or _complete(root, dataset) else root / dataset.folder
    if _complete(folder, dataset):
        spec = f"{dataset.scheme}:{folder.parent if dataset.is_parent and folder.name == dataset.folder else folder}"
        return DataSpecs(train=spec, test=spec)
    train, test = (root / f"{name}_{part}.npz" for part in ("train", "test"))
    if train.is_file() and test.is_file():
        return DataSpecs(train=f"npz:{train}", test=f"npz:{test}")
    return None


def _complete(folder: Path, dataset: _Dataset) -> bool:
    return all((folder / name).exists() for name in dataset.holds)
