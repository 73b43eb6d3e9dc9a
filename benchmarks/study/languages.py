"""The study's networks for text, each with its task and its samples: a character GPT, a sentence BERT and an LSTM.

All of them take token ids (N, T) as one tensor. Samples of one length share a batch, so nothing is padded.
"""

import hashlib
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.task import Task
from analog_samson.tasks.text import LanguageModeling
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions

ADAMW = {"optimizer": "adamw", "weight_decay": 0.01, "schedule": "onecycle"}
PENALTY = 0.01  # of the squared weights of a head, beside the mean loss
Batches = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Samples:
    """Sequences of token ids, and what the network has to say of each."""

    inputs: Sequence[Tensor]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def pick(self, places: Tensor) -> "Samples":
        """The samples at these places, in their order."""
        return Samples([self.inputs[place] for place in places.tolist()], self.targets[places])

    def split(self, *counts: int) -> list["Samples"]:
        """Parts of these sizes in an order of seed 0; the rest is left out."""
        order = torch.randperm(len(self), generator=rng.generator(0, "split"))
        return [self.pick(part) for part in order[: sum(counts)].split(list(counts))]

    def batches(self, size: int, device: str = "cpu") -> Batches:
        """All samples, those of one length together, in their order."""
        by_length: dict[int, list[int]] = {}
        for place, ids in enumerate(self.inputs):
            by_length.setdefault(len(ids), []).append(place)
        groups = [group for _, places in sorted(by_length.items()) for group in torch.tensor(places).split(size)]
        return [
            (torch.stack([self.inputs[place] for place in group.tolist()]).to(device), self.targets[group].to(device))
            for group in groups
        ]


@dataclass(frozen=True, kw_only=True)
class Language:
    """A network with its task and its data.

    Attributes:
        title: For tables.
        task: What it is trained and measured for.
        build: The network before its start; draws from streams of the seed.
        prepare: Makes the start network of this seed of it, in place.
        starts: How many start networks there are; training s begins at number s mod starts.
        training: Samples to train on.
        held_out: Samples that decide between candidates.
        test: Samples that are read once.
        options: Of a training, beside those of the method.
        batch_size: Samples a step, at most.
        clips: Candidates of the clipping, in units of the weights.
    """

    title: str
    task: Task
    build: Callable[[int], nn.Module]
    prepare: Callable[[nn.Module, int], object] = lambda model, seed: None
    starts: int = 1
    training: Samples
    held_out: Samples
    test: Samples
    options: dict[str, Any]
    batch_size: int = 64
    clips: tuple[float, ...]


def training_batches(samples: Samples, size: int, device: str = "cpu") -> Batches:
    """Batches that are the same for every training, each of samples of one length."""
    order = torch.randperm(len(samples), generator=rng.generator(0, "batches"))
    return samples.pick(order).batches(size, device)


class Polyphone(nn.Module):
    """The tagger's logits at the character whose place is the first column of the input."""

    def __init__(self, tagger: nn.Module) -> None:
        super().__init__()
        self.tagger = tagger

    def forward(self, x: Tensor) -> Tensor:
        return self.tagger(x[:, 1:])[torch.arange(len(x), device=x.device), x[:, 0]]


class Opinion(nn.Module):
    """Two classes from the embedding of a sentence, whose entries are brought to a size of about one."""

    def __init__(self, encoder: nn.Module, width: int = 384) -> None:
        super().__init__()
        self.encoder, self.head, self.scale = encoder, nn.Linear(width, 2), math.sqrt(width)

    def embed(self, ids: Tensor) -> Tensor:
        return self.scale * self.encoder(ids, torch.ones_like(ids))

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.embed(ids))


def chargpt(folder: Path, nets: Any) -> Language:
    """A GPT from random weights; the names are divided as where it comes from."""
    names = (folder / "chargpt/names.txt").read_text().split()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(3407)  # makemore's default, which fixes the names that training does not see
        names = [names[place] for place in torch.randperm(len(names)).tolist()]

    def samples(some: Sequence[str]) -> Samples:
        x, y = torch.zeros(len(some), 16, dtype=torch.long), torch.full((len(some), 16), -1)
        for place, name in enumerate(some):
            codes = torch.tensor([ord(letter) - 96 for letter in name])
            x[place, 1 : len(name) + 1] = y[place, : len(name)] = codes
            y[place, len(name)] = 0
        return Samples(list(x), y)

    def build(seed: int) -> nn.Module:
        with rng.stream(seed, "initial weights"):
            return nets.CharGPT()  # type: ignore[no-any-return]

    task, training, held_out = (
        LanguageModeling(shift=False, ignored=-1),
        samples(names[:-2000]),
        samples(names[-2000:-1000]),
    )

    def prepare(model: nn.Module, seed: int) -> None:
        options = TrainOptions(seed=seed, epochs=6, learning_rate=2e-3, **ADAMW)
        fit(model, training_batches(training, 64), held_out.batches(250), options, task=task)

    return Language(
        title="character GPT",
        task=task,
        build=build,
        prepare=prepare,
        starts=5,
        training=training,
        held_out=held_out,
        test=samples(names[-1000:]),
        options={**ADAMW, "epochs": 1, "learning_rate": 5e-4},
        clips=(0.1, 0.2, 0.3),
    )


def minilm(folder: Path, nets: Any) -> Language:
    """all-MiniLM with a linear head on sentences of film reviews; the test part is that of the folder's own measure."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "minilm/tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(64)
    parts: dict[bool, list[tuple[str, int]]] = {False: [], True: []}
    for label, name in enumerate(("neg", "pos")):
        for line in (folder / f"text/rt-polarity.{name}").read_text(encoding="latin1").splitlines():
            text = line.strip()
            parts[int(hashlib.sha256(text.encode()).hexdigest(), 16) % 10 == 0].append((text, label))

    def samples(some: Sequence[tuple[str, int]]) -> Samples:
        encoded = tokenizer.encode_batch([text for text, _ in some])
        return Samples([torch.tensor(one.ids) for one in encoded], torch.tensor([label for _, label in some]))

    held_out, training = samples(parts[False]).split(500, 2000)

    def build(seed: int) -> nn.Module:
        encoder = nets.load("minilm")
        for embedding in (encoder.word, encoder.position, encoder.kind):
            embedding.requires_grad_(False)
        with rng.stream(seed, "head"):
            return Opinion(encoder)

    return Language(
        title="all-MiniLM, opinions",
        task=Classification(classes=2),
        build=build,
        prepare=lambda model, seed: _fit_head(model, training),
        training=training,
        held_out=held_out,
        test=samples(parts[True]).split(500)[0],
        options={**ADAMW, "epochs": 1, "learning_rate": 5e-5},
        batch_size=32,
        clips=(0.2, 0.4, 0.8),
    )


def _fit_head(model: nn.Module, samples: Samples) -> None:
    """Logistic regression on the embeddings of the samples."""
    assert isinstance(model, Opinion)
    with torch.no_grad():
        pairs = [(model.embed(ids), labels) for ids, labels in samples.batches(64)]
    x, y = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    head = nn.Linear(x.shape[1], 2)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(x), y) + PENALTY * head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    model.head.load_state_dict(head.state_dict())


def g2pm(folder: Path, nets: Any) -> Language:
    """The tagger of Chinese polyphones, trained on by the development part of its data."""
    vocabulary = nets.read_json("g2pm/vocabulary.json")
    characters, classes = vocabulary["characters"], vocabulary["pronunciations"]

    def samples(part: str) -> Samples:
        lines, labels = (
            (folder / f"g2pm/{part}.{kind}").read_text(encoding="utf8").splitlines() for kind in ("sent", "lb")
        )
        inputs = []
        for line in lines:
            place = line.index("▁")  # the character between two of these is the polyphone
            text = "시" + line.replace("▁", "") + "끝"
            inputs.append(torch.tensor([place + 1, *(characters.get(one, characters["<UNK>"]) for one in text)]))
        return Samples(inputs, torch.tensor([classes[label.strip()] for label in labels]))

    developing = samples("dev")
    held_out, training = developing.split(len(developing) // 10, len(developing) - len(developing) // 10)
    return Language(
        title="polyphone LSTM",
        task=Classification(classes=len(classes)),
        build=lambda seed: Polyphone(nets.load("g2pm")),
        training=training,
        held_out=held_out,
        test=samples("test").split(2000)[0],
        options={**ADAMW, "epochs": 1, "learning_rate": 1e-3},
        clips=(0.5, 1.0, 2.0),
    )


IN_NATS = ("chargpt",)  # the others are measured by their accuracy [%]
LANGUAGES: dict[str, Callable[[Path, Any], Language]] = {"g2pm": g2pm, "chargpt": chargpt, "minilm": minilm}


def open_language(name: str, folder: Path) -> Language:
    """A network of the folder `networks` with its data."""
    sys.path.insert(0, str(folder.resolve()))
    import nets

    return LANGUAGES[name](folder.resolve(), nets)
