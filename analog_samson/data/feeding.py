"""A network and its data as the options name them: any network of a folder, any samples, and how they are fed."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from analog_samson.data.batch_set import BatchSet
from analog_samson.data.image_set import ImageSet
from analog_samson.data.picked import pick_samples
from analog_samson.data.samples import Samples
from analog_samson.data.tensor_set import TensorBatches
from analog_samson.data.text_lines import LineTexts
from analog_samson.data.text_set import MOST_TOKENS, STATED, TextBatches, TextSet, TokenBlocks
from analog_samson.errors import DataError, OptionError
from analog_samson.models.checkpoint import Checkpoint
from analog_samson.models.huggingface import (
    HuggingFaceSpec,
    SentenceEmbedder,
    load_huggingface,
    load_tokenizer,
    weights_fingerprint,
)
from analog_samson.runtime.size_limit import refuse_size
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.dense import MultiLabel
from analog_samson.tasks.pairs import EmbeddingPairs
from analog_samson.tasks.regression import Regression
from analog_samson.tasks.task import Task
from analog_samson.tasks.text import LanguageModeling

Data = ImageSet | Samples
_TOKENIZED = 10  # bytes a character: four of them are a token, which is a Python number of 28 bytes and 8 in a list
_LABELLED = (Classification, EmbeddingPairs, MultiLabel, Regression)  # what nothing but labels can be compared with


@dataclass(frozen=True)
class Feeding:
    """How data of another kind than images becomes batches.

    Attributes:
        task: What the network is scored by.
        tokenizer: Of texts; None for other data.
        positions: The most tokens that the network takes, which decides where the tokenizer states no maximum; None
            where that is not known.
    """

    task: Task
    tokenizer: Any = None
    positions: int | None = None

    def first(self, samples: Samples, count: int) -> Samples:
        """The first samples that make `count` whole ones for the network: blocks of a running text, else samples."""
        if not self._is_running(samples) or self.tokenizer is None:
            return samples.take(count)
        lines = count
        while lines < len(samples) and self._count_tokens(samples.take(lines)) < count * self._block:
            lines *= 2
        return samples.take(lines)

    def batches(
        self, samples: Samples, *, batch_size: int, device: torch.device, shuffled: bool = False
    ) -> "SampleBatches":
        """Batches that can be gone through again and again; with `shuffled` each time in an order of its own.

        Raises:
            DataError: Texts without a tokenizer, too little text, or no labels for a task that needs them.
        """
        layout: dict[str, Any] = {"batch_size": batch_size, "device": device, "shuffled": shuffled}
        return SampleBatches(samples, self._batches(samples, layout))

    def _batches(self, samples: Samples, layout: Mapping[str, Any]) -> Any:
        if not isinstance(samples, TextSet):
            return TensorBatches(samples, **layout)
        if self.tokenizer is None:
            raise DataError(f"{samples.name}: texts need a tokenizer; name a network with one, --model hf:DIR")
        if self._is_running(samples):
            if isinstance(samples.texts, LineTexts):
                needed = _TOKENIZED * int(samples.texts.spans[:, 1].sum())
                refuse_size(needed, f"{samples.name}: tokenizing it in one piece", "take fewer (--limit N)", DataError)
            return TokenBlocks(
                "\n".join(samples.texts),
                self.tokenizer,
                length=self._block,
                name=samples.name,
                **layout,
            )
        if samples.targets is None and isinstance(self.task, _LABELLED):
            raise DataError(
                f"{samples.name}: task {self.task.name} needs labels, and the data has none; name their column with "
                ",label=COLUMN (of pairs ,score=COLUMN), or choose another --task"
            )
        joined = samples.second is not None and not isinstance(self.task, EmbeddingPairs)
        longest = None if self.tokenizer.model_max_length < STATED else self._block
        return TextBatches(samples, self.tokenizer, joined=joined, longest=longest, **layout)

    @property
    def _block(self) -> int:
        """Tokens of a block of a running text."""
        return min(self.tokenizer.model_max_length, self.positions or MOST_TOKENS, MOST_TOKENS)

    def _is_running(self, samples: Samples) -> TypeGuard[TextSet]:
        """Whether samples are lines of one text, for a language model."""
        unlabelled = isinstance(samples, TextSet) and samples.targets is None
        return unlabelled and isinstance(self.task, LanguageModeling)

    def _count_tokens(self, samples: TextSet) -> int:
        return len(self.tokenizer(["\n".join(samples.texts)], verbose=False)["input_ids"][0])


@dataclass(frozen=True, eq=False)
class SampleBatches:
    """Batches that can be gone through again and again, and the samples that are in them."""

    samples: Samples
    batches: Any

    @property
    def num_classes(self) -> int | None:
        """The number of classes of labelled samples."""
        return self.batches.num_classes

    def pick(self, places: Tensor) -> "SampleBatches":
        """Batches of the samples at these places of the order in which batches give them."""
        return replace(self, batches=pick_samples(self.batches, places))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


def folder_network(spec: HuggingFaceSpec) -> tuple[nn.Module, Checkpoint]:
    """The network of a folder, and what a run stores of it in the place of a checkpoint file."""
    model = load_huggingface(spec)
    known = {"model": type(model).__name__}
    found = weights_fingerprint(spec) or ""
    return model, Checkpoint(path=Path(spec.source), state={}, metadata=known, sha256=found)


def labelled_as_trained(samples: Samples, model: nn.Module, classes: Sequence[str] = ()) -> Samples:
    """Labelled samples with the numbers that the network gives to their classes.

    Files name classes, and a network of Hugging Face names its outputs (``config.label2id``). Where it does, the names
    decide; else those of the data that it was trained on. Otherwise classes have numbers in the order of the alphabet.

    Args:
        samples: Labelled or not.
        model: The network.
        classes: Those of the training data, in the order of the outputs; none where they are not known.

    Raises:
        DataError: The network names its outputs otherwise than the data its classes.
    """
    named = getattr(getattr(model, "config", None), "label2id", None) or {}
    places = {str(name).lower(): place for name, place in named.items()}
    if not places or all(name == f"label_{place}" for name, place in places.items()):
        places = {name: place for place, name in enumerate(classes)}
    numbered = all(name.isdecimal() for name in samples.classes)
    if not samples.classes or not places or numbered or not isinstance(samples.targets, Tensor):
        return samples
    names = {name: name if name in places else name.lower() for name in samples.classes}
    if unknown := [name for name in samples.classes if names[name] not in places]:
        raise DataError(
            f"{samples.name}: the data has the classes {', '.join(samples.classes)}, the network {', '.join(places)}; "
            f"rename {', '.join(unknown)} in the data, or give numbers"
        )
    order = torch.tensor([places[names[name]] for name in samples.classes])
    return replace(samples, targets=order[samples.targets], classes=tuple(sorted(places, key=places.__getitem__)))


def tokenizer_of(spec: HuggingFaceSpec | None, samples: Data | BatchSet, task: str | None = None) -> Any:
    """The network's tokenizer, where the data or the task needs one; None otherwise."""
    needed = isinstance(samples, TextSet) or task == "speech_recognition"
    return load_tokenizer(spec) if spec is not None and needed else None


def as_embedder(model: nn.Module, task: Task) -> nn.Module:
    """An encoder of tokens as one of sentences, where the task compares embeddings."""
    is_encoder = hasattr(model, "config") and hasattr(model, "get_input_embeddings")
    return SentenceEmbedder(model) if isinstance(task, EmbeddingPairs) and is_encoder else model


def guess_from_data(samples: Samples) -> str | None:
    """The task that data of a kind can only be meant for; None where it may be several."""
    if isinstance(samples, TextSet):
        scored = samples.targets is not None and samples.targets.is_floating_point()
        return "sentence_similarity" if samples.second is not None and scored else None
    if isinstance(samples.inputs, tuple):
        return "speaker_verification"
    if not isinstance(samples.targets, torch.Tensor):
        return "speech_recognition"
    if samples.targets.is_floating_point():
        return "speech_enhancement"
    return "segmentation" if samples.targets.ndim == 3 else None


def refuse_shared(calibration: Samples | BatchSet, test: Samples | BatchSet) -> None:
    """Raise DataError where samples to calibrate on are tested on as well."""
    shared = _parts(calibration) & _parts(test)
    if shared:
        raise DataError(
            f"{calibration.name}: {len(shared)} of its samples are in {test.name} too; what is calibrated on must "
            "not be tested on: give other --calibration-data"
        )


def _parts(samples: Samples | BatchSet) -> set[Any]:
    if isinstance(samples, BatchSet):
        return samples.samples()
    if isinstance(samples, TextSet):
        pairs = zip(samples.texts, samples.second or samples.texts, strict=True)
        return {hashlib.blake2b(repr(pair).encode(), digest_size=16).digest() for pair in pairs}
    first = samples.inputs[0] if isinstance(samples.inputs, tuple) else samples.inputs
    return {part.numpy().tobytes() for part in first}


def task_options(name: str, samples: Data | BatchSet, tokenizer: Any) -> dict[str, Any]:
    """What the data tells of a task's options.

    Raises:
        OptionError: A text task needs the symbols of a tokenizer, and there is none.
    """
    if name in ("segmentation", "multi_label", "token_classification", "classification"):
        classes = getattr(samples, "num_classes", None) or len(getattr(samples, "classes", ())) or None
        return {} if classes is None else {"classes": classes}
    if name == "speech_recognition":
        if tokenizer is None:
            raise OptionError("task speech_recognition: needs a network with a tokenizer, --model hf:DIR")
        places = tokenizer.get_vocab()
        return {"symbols": tuple(sorted(places, key=places.__getitem__)), "blank": tokenizer.pad_token_id or 0}
    return {}
