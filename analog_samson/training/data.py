"""What a training goes through: the samples of an image set, or batches that the user's own loader gives."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.data import ImageSet, Normalization, augment
from analog_samson.data.augment import suits_augmentation
from analog_samson.data.batches import Batches, Normalizer, on_device_if_small
from analog_samson.data.feeding import SampleBatches
from analog_samson.errors import DataError, OptionError, list_faults
from analog_samson.tasks.batch import tensors_of
from analog_samson.tasks.evaluation import data_faults
from analog_samson.tasks.scoring import score
from analog_samson.tasks.task import Task
from analog_samson.training.batch import Batch, Shard
from analog_samson.training.distributed import DistributedContext
from analog_samson.training.options import TrainOptions

_EVALUATION_BATCH = 500
_OF_IMAGE_SETS = ("batch_size", "augment", "normalization")


class TrainingData(ABC):
    """Training and test samples, as one process of a training goes through them.

    Attributes:
        task: How a batch is fed to the network, and how it is scored.
        test: Batches of the test samples that this process evaluates.
        few: One small batch of test samples.
    """

    task: Task
    test: Iterable[Any]
    few: Iterable[Any]

    @abstractmethod
    def steps(self) -> int:
        """Batches an epoch."""

    @abstractmethod
    def epoch(self, epoch: int) -> Iterator[Batch]:
        """This process's part of each batch of an epoch, which counts from 0."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What has to be the same for a training to be continued, as plain values."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What the checkpoint says of the data, as plain values."""

    @abstractmethod
    def test_count(self) -> int:
        """Test samples of all processes."""


class ImageData(TrainingData):
    """Image sets: shuffled, augmented and normalised; batches are the same for any number of processes."""

    def __init__(
        self,
        train_set: ImageSet,
        test_set: ImageSet,
        options: TrainOptions,
        task: Task,
        *,
        device: torch.device,
        context: DistributedContext,
    ) -> None:
        normalization = options.normalization
        assert normalization is not None
        _check_sets(train_set, test_set)
        self.task, self._train, self._test, self._options, self._context = task, train_set, test_set, options, context
        layout: dict[str, Any] = {"device": device, "channels_last": options.channels_last}
        self.normalize = Normalizer(normalization, train_set.channels, **layout)
        self._images = on_device_if_small(train_set.images, device)
        self._labels = train_set.labels.to(device)
        self.test = Batches(context.images(test_set), normalization, batch_size=_EVALUATION_BATCH, **layout)
        self.few = Batches(test_set.take(2), normalization, batch_size=2, device=device)

    def check(self, model: nn.Module, normalization: Normalization) -> None:
        """Raise DataError unless the network runs on two training images: outputs, channels and classes fit."""
        device = self._labels.device
        score(model, Batches(self._train.take(2), normalization, batch_size=2, device=device), self.task)

    def steps(self) -> int:
        """Batches an epoch; a last batch of one image is left out, because batch norm needs two."""
        whole, rest = divmod(len(self._train), self._options.batch_size)
        return whole + (rest > 1 or whole == 0)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        seed, batch_size = self._options.seed, self._options.batch_size
        order = torch.randperm(len(self._train), generator=rng.generator(seed, "shuffle", epoch))
        draws = rng.generator(seed, "augment", epoch)
        augmented = self._options.augment and suits_augmentation(self._train)
        window = self._test.images.shape[2:]
        for index in order.split(batch_size)[: self.steps()]:
            part = self._context.shard(len(index))
            own = index[part.index]
            images = self._images[own.to(self._images.device)]
            if augmented:
                images = augment(images, generator=draws, window=window, whole=part.whole, part=part.index)
            x = self.normalize(images)
            yield Batch((x, self._labels[own.to(self._labels.device)]), part)

    def identity(self) -> dict[str, Any]:
        return {
            "train_data": self._train.name,
            "train_fingerprint": self._train.fingerprint,
            "test_data": self._test.name,
            "test_fingerprint": self._test.fingerprint,
        }

    def description(self) -> dict[str, Any]:
        normalization = self._options.normalization
        return {
            "num_classes": self._train.num_classes,
            "in_channels": self._train.channels,
            "data": self._train.name,
            "data_fingerprint": self._train.fingerprint,
            "test_data": self._test.name,
            "normalization": normalization and normalization.metadata(),
        }

    def test_count(self) -> int:
        return len(self._test)


class LoaderData(TrainingData):
    """Batches of the user's own, on the device of the network, in any form that the task takes.

    A list of batches is taken in a new order in each epoch. Another iterable, such as a DataLoader, gives its own
    order; what it draws from torch's global stream is named by the seed and the epoch.
    """

    kind: str = "batches of your own"
    unused: tuple[str, ...] = _OF_IMAGE_SETS  # options without an effect on such data

    def __init__(self, train: Iterable[Any], test: Iterable[Any], options: TrainOptions, task: Task) -> None:
        faults = data_faults(train_set=train, test_set=test)
        faults += [
            f"{name}: has no length, so the learning rate has no schedule; give a list or a loader with __len__"
            for name, data in (("train_set", train),)
            if not hasattr(data, "__len__")
        ]
        if faults:
            raise DataError(list_faults("training data", faults))
        idle = [name for name in self.unused if name in options.model_fields_set and getattr(options, name)]
        if idle:
            lines = [f"{name}: has no effect on {self.kind}; leave it out" for name in idle]
            raise OptionError(list_faults(options.NAME, lines))
        self.task, self._train, self.test, self._seed = task, train, test, options.seed
        self.few = list(islice(test, 1))

    def steps(self) -> int:
        return len(self._train)  # type: ignore[arg-type]

    def epoch(self, epoch: int) -> Iterator[Batch]:
        batches = self._train
        if isinstance(batches, Sequence):
            order = torch.randperm(len(batches), generator=rng.generator(self._seed, "shuffle", epoch))
            batches = (self._train[place] for place in order.tolist())  # type: ignore[index]
        for given in batches:
            prepared = self.task.prepare(given)
            yield Batch(prepared, Shard(self.task.count(prepared)))

    def identity(self) -> dict[str, Any]:
        """The length, and the contents of the first test batch: other data may draw its batches anew each time."""
        digest = hashlib.sha256()
        for tensor in tensors_of(self.few):
            digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
            digest.update(_bytes(tensor))
        return {"train_batches": self.steps(), "test_fingerprint": digest.hexdigest()}

    def description(self) -> dict[str, Any]:
        return {"task": self.task.name}

    def test_count(self) -> int:
        return sum(self.task.count(self.task.prepare(batch)) for batch in self.test)


class SampleData(LoaderData):
    """Samples of one of the package's own kinds, such as texts or recordings, which are shuffled here."""

    kind, unused = "samples that are no images", ("augment", "normalization")

    def __init__(self, train: SampleBatches, test: SampleBatches, options: TrainOptions, task: Task) -> None:
        super().__init__(train, test, options, task)
        self._sets = train.samples, test.samples

    def identity(self) -> dict[str, Any]:
        train, test = self._sets
        return {
            "train_data": train.name,
            "train_fingerprint": train.fingerprint,
            "test_data": test.name,
            "test_fingerprint": test.fingerprint,
        }

    def description(self) -> dict[str, Any]:
        train, test = self._sets
        classes = {"num_classes": len(train.classes), "classes": list(train.classes)} if train.classes else {}
        named = {"data": train.name, "data_fingerprint": train.fingerprint, "test_data": test.name}
        return {"task": self.task.name, **named, **classes}


def batches_of_own(train: Iterable[Any], test: Iterable[Any], options: TrainOptions, task: Task) -> LoaderData:
    """Data that is no image set: samples of the package's own kinds, or what the user's loaders give."""
    if isinstance(train, SampleBatches) and isinstance(test, SampleBatches):
        return SampleData(train, test, options, task)
    return LoaderData(train, test, options, task)


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _check_sets(train_set: ImageSet, test_set: ImageSet) -> None:
    if len(train_set) < 2:
        raise DataError(f"{train_set.name}: training needs at least 2 images, got {len(train_set)}")
    lacking = ", and state the number of classes if one lacks some (npz:FILE,classes=N)"
    for what, name, more in (("channels", "channels", ""), ("num_classes", "classes", lacking)):
        train, test = getattr(train_set, what), getattr(test_set, what)
        if train != test:
            raise DataError(
                f"training data {train_set.name} has {train} {name}, test data {test_set.name} has {test}; "
                f"use two parts of one dataset{more}"
            )
