"""Texts in memory, with labels or scores, and the batches of token ids that networks take."""

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from analog_samson.data.tensor_set import count_batches, shuffled_places
from analog_samson.data.text_lines import LineTexts
from analog_samson.errors import DataError

MOST_TOKENS = 512  # of a text or block, where nobody names fewer
STATED = 10**6  # tokenizers that state no maximum give a larger number
_AT_ONCE = 4096  # texts of a file that are tokenized at a time, for their lengths


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TextSet:
    """Texts of one kind, in the order of their file.

    Attributes:
        name: What reports call the data.
        texts: One text a sample.
        second: The other text of each pair; None where samples are single texts.
        targets: Labels (N,) int64 or scores (N,) float32; None for texts without either.
        classes: The names of the labels; empty for scores and for texts without labels.
    """

    name: str
    texts: Sequence[str]
    second: Sequence[str] | None = None
    targets: Tensor | None = None
    classes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        kind = "texts" if self.second is None else "pairs of texts"
        given = "no targets" if self.targets is None else f"{len(self.classes)} classes" if self.classes else "scores"
        return f"<TextSet {self.name}: {len(self):,} {kind}, {given}>"

    def take(self, limit: int | None) -> "TextSet":
        """The first `limit` samples; all for None."""
        if limit is None:
            return self
        return replace(
            self,
            texts=self.texts[:limit],
            second=None if self.second is None else self.second[:limit],
            targets=None if self.targets is None else self.targets[:limit],
        )

    def pick(self, places: Tensor) -> "TextSet":
        """The samples at these places, in their order."""
        listed = places.tolist()
        return replace(
            self,
            texts=_pick(self.texts, listed),
            second=None if self.second is None else _pick(self.second, listed),
            targets=None if self.targets is None else self.targets[places],
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of texts and targets."""
        digest = hashlib.sha256()
        for part in (self.texts, self.second or ()):
            for text in part:
                digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        if self.targets is not None:
            digest.update(self.targets.numpy().tobytes())
        return digest.hexdigest()


def _pick(texts: Sequence[str], places: Sequence[int]) -> Sequence[str]:
    """The texts at these places; those of a file stay there."""
    return texts.pick(places) if isinstance(texts, LineTexts) else [texts[place] for place in places]


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that this package uses."""

    pad_token_id: int | None
    model_max_length: int

    def __call__(self, text: Sequence[str], **options: Any) -> Mapping[str, Any]:
        """Token ids and masks."""


class TextBatches:
    """Batches of token ids of a text set; can be iterated again and again.

    Texts of like length share a batch, so that little is padded; batches do not follow the order of the file. With
    `shuffled` each pass has an order of its own, as `shuffled_places` says. Gives,
    for single texts, a mapping with the tokenizer's outputs and "labels" where the set has them; for pairs
    ((first, second), scores) of two such mappings.
    """

    def __init__(
        self,
        text_set: TextSet,
        tokenizer: Tokenizer,
        *,
        batch_size: int,
        device: torch.device | str,
        longest: int | None = None,
        joined: bool = False,
        ids: str = "input_ids",
        shuffled: bool = False,
    ) -> None:
        """Tokenize all texts once; those in a file again for each batch, and their tokens are not kept.

        Args:
            text_set: The texts.
            tokenizer: As Hugging Face's ``AutoTokenizer`` gives it.
            batch_size: Samples in a batch.
            device: Where the batches lie.
            longest: The most tokens of a text; longer ones are cut. None: what the tokenizer states.
            joined: Pairs are one sequence each, as cross-encoders take them.
            ids: Under what name the tokenizer gives token ids.
            shuffled: A new order in each pass.

        Raises:
            DataError: A text has no token, or the tokenizer has no padding.
        """
        self.text_set, self.device, self._batch_size = text_set, torch.device(device), batch_size
        self._shuffled = shuffled
        limit = longest or (tokenizer.model_max_length if tokenizer.model_max_length < STATED else MOST_TOKENS)
        options: dict[str, Any] = {"truncation": True, "max_length": limit}
        self._pair = text_set.second is not None and not joined
        self._tokenizer, self._options, self._ids = tokenizer, options, ids
        self._encoded: list[dict[str, Any]] | None = None
        lengths: Sequence[int]
        if isinstance(text_set.texts, LineTexts):
            lengths = array("q")
            for start in range(0, len(text_set), _AT_ONCE):
                some = range(start, min(start + _AT_ONCE, len(text_set)))
                lengths.extend(map(len, self._tokens(list(some))[0][ids]))
        else:
            self._encoded = self._tokens(None)
            lengths = [len(row) for row in self._encoded[0][ids]]
        if lengths and min(lengths) == 0:
            raise DataError(f"{text_set.name}: text {lengths.index(0)} has no token; remove empty texts")
        self._padding = tokenizer.pad_token_id
        if self._padding is None and len(set(lengths)) > 1 and batch_size > 1:
            raise DataError(
                f"{text_set.name}: texts of several lengths and a tokenizer without a padding token; use --batch-size 1"
            )
        self._order = sorted(range(len(lengths)), key=lambda place: (lengths[place], place))

    @property
    def num_classes(self) -> int | None:
        """The number of classes of labelled texts."""
        return len(self.text_set.classes) or None

    def pick(self, places: Tensor) -> "TextBatches":
        """Batches of the samples at these places of the order in which batches give them."""
        picked = copy(self)
        picked._order = [self._order[place] for place in places.tolist()]
        return picked

    def __len__(self) -> int:
        return count_batches(len(self._order), self._batch_size, shuffled=self._shuffled)

    def __iter__(self) -> Iterator[Any]:
        size, order = self._batch_size, self._order
        parts = (order[start : start + size] for start in range(0, len(order), size))
        shuffled = (part.tolist() for part in shuffled_places(len(order), size)) if self._shuffled else None
        for places in shuffled or parts:
            targets = self.text_set.targets
            chosen = None if targets is None else targets[torch.tensor(places)].to(self.device)
            if self._encoded is None:
                inputs = [self._padded(part, range(len(places))) for part in self._tokens(places)]
            else:
                inputs = [self._padded(part, places) for part in self._encoded]
            if self._pair:
                yield tuple(inputs), chosen
            else:
                yield inputs[0] if chosen is None else inputs[0] | {"labels": chosen}

    def _tokens(self, places: Sequence[int] | None) -> list[dict[str, Any]]:
        """What the tokenizer gives for the texts at some places, or for all."""
        given = self.text_set
        parts = [given.texts] if given.second is None else [given.texts, given.second]
        chosen = [list(part if places is None else _pick(part, places)) for part in parts]
        if self._pair or len(chosen) == 1:
            found = [self._tokenizer(part, **self._options) for part in chosen]
        else:
            found = [self._tokenizer(*chosen, **self._options)]
        return [dict(one.items()) for one in found]

    def _padded(self, encoded: Mapping[str, Any], places: Sequence[int]) -> dict[str, Tensor]:
        longest = max(len(encoded[self._ids][place]) for place in places)
        fill = {self._ids: self._padding or 0}
        return {
            key: torch.tensor(
                [[*values[place], *[fill.get(key, 0)] * (longest - len(values[place]))] for place in places],
                device=self.device,
            )
            for key, values in encoded.items()
        }


class TokenBlocks:
    """A running text cut into blocks of equally many tokens, for language models; can be iterated again and again.

    Gives mappings with "input_ids" (N, length). What is left behind the last whole block is not used.
    """

    def __init__(
        self,
        text: str,
        tokenizer: Tokenizer,
        *,
        length: int,
        batch_size: int,
        device: torch.device | str,
        name: str,
        shuffled: bool = False,
    ) -> None:
        """Tokenize the text once. Raises DataError where it has fewer tokens than one block."""
        ids = tokenizer([text], verbose=False)["input_ids"][0]
        if len(ids) < length:
            raise DataError(f"{name}: {len(ids)} tokens; one block takes {length}: give more text")
        self.bytes_per_token = len(text.encode("utf-8", "surrogatepass")) / len(ids)
        self._blocks = torch.tensor(ids[: len(ids) // length * length]).view(-1, length)
        self._batch_size, self._device, self.num_classes = batch_size, torch.device(device), None
        self._shuffled = shuffled

    def __len__(self) -> int:
        return count_batches(len(self._blocks), self._batch_size, shuffled=self._shuffled)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        count, size = len(self._blocks), self._batch_size
        order = shuffled_places(count, size) if self._shuffled else torch.arange(count).split(size)
        for places in order:
            yield {"input_ids": self._blocks[places].to(self._device)}
