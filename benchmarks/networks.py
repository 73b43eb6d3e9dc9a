"""What do a sentence transformer, a keyword transformer, a character GPT and LSTMs keep on phase-change memory?

    python benchmarks/networks.py --folder ../shared/networks --runs runs/networks

Networks that others trained (the README of that folder names them), each in its own metric: digitally, and on chips of
`pcm_nandakumar_2019` (exact products) and `pcm_rasch_2023` (8-bit converters, output noise, IR drop), with one scale a
layer and one a column, with and without affine calibration, after one second, a day and a year. The sources of both
presets cover one day: a year is extrapolated. Calibration data set the input ranges and the affine correction, and are
never tested on:

network   test                                        calibration
minilm    the first PAIRS pairs of STS benchmark test 64 pairs of STS benchmark dev
kwt1      600 clips, 50 of each word                  the other 120 clips
chargpt   1,000 names held out from its training      512 names of its training
g2pm      the first SENTENCES of CPP test             256 sentences of CPP dev
dtln      80 noisy recordings                         the other 20 recordings

results/networks.csv holds the value of every chip; `python benchmarks/networks.py --table` makes docs/networks.md.

--networks NAME ...   which networks; all without it
--presets NAME ...    which presets; both without it
--chips N             how many chips
--runs DIR            where the run folders go; the same call again continues them
--digital             measure the digital networks on all of their data, and simulate nothing
"""

import argparse
import csv
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from analog_samson import load_preset, simulate_drift
from analog_samson.data.text_set import TextBatches, TextSet
from analog_samson.errors import InputRangeWarning
from analog_samson.presets.schema import Preset
from analog_samson.results.metric import Metric, stored_metrics, stored_task
from analog_samson.results.store import RunFolder
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.pairs import SentenceSimilarity
from analog_samson.tasks.scoring import score
from analog_samson.tasks.speech import SpeechEnhancement
from analog_samson.tasks.task import Task
from analog_samson.tasks.text import LanguageModeling
from analog_samson.units import parse_times

RESULTS = Path(__file__).parent / "results" / "networks.csv"
PAGE = Path(__file__).parent.parent / "docs" / "networks.md"
PRESETS = ("pcm_nandakumar_2019", "pcm_rasch_2023")
SCALINGS = ("per_layer", "per_column")
TIMES = parse_times("1s,1d,1y")
SEED = 0


@dataclass(frozen=True)
class Study:
    """A network with its task, its test data and data to calibrate on."""

    model: nn.Module
    task: Task
    test: Sequence[Any]
    calibration: Sequence[Any]


class AtPlace(nn.Module):
    """The polyphone tagger's logits at one character of each sentence."""

    def __init__(self, tagger: nn.Module) -> None:
        super().__init__()
        self.tagger = tagger

    def forward(self, ids: Tensor, place: Tensor) -> Tensor:
        return self.tagger(ids)[torch.arange(len(ids), device=ids.device), place]


class SentenceTokenizer:
    """The tokenizer of the folder in the form that `TextBatches` takes."""

    pad_token_id, model_max_length = 0, 256

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_padding()

    def __call__(self, text: Sequence[str], *, truncation: bool = True, max_length: int = 256) -> dict[str, Any]:
        self._tokenizer.enable_truncation(max_length)
        encoded = self._tokenizer.encode_batch(list(text))
        return {"ids": [one.ids for one in encoded], "mask": [one.attention_mask for one in encoded]}


def minilm(folder: Path, nets: Any, limit: int | None) -> Study:
    tokenizer = SentenceTokenizer(folder / "minilm/tokenizer.json")

    def pairs(part: str, count: int | None) -> list[Any]:
        with (folder / f"text/stsb-en-{part}.csv").open(encoding="utf8", newline="") as file:
            rows = list(csv.reader(file))[:count]
        texts = TextSet(
            name=part,
            texts=[row[0] for row in rows],
            second=[row[1] for row in rows],
            targets=torch.tensor([float(row[2]) for row in rows]),
        )
        return list(TextBatches(texts, tokenizer, batch_size=64, device="cpu", ids="ids"))

    return Study(nets.load("minilm"), SentenceSimilarity(), pairs("test", limit), pairs("dev", 64))


def kwt1(folder: Path, nets: Any, limit: int | None) -> Study:
    from measure import read_audio

    audio, index = read_audio("speech_commands")
    labels, net = torch.tensor(index["labels"]), nets.load("kwt1")
    audio[labels == 0] = 0  # the authors' own test takes digital silence for _silence_
    with torch.no_grad():
        features = net.features(audio)
    order = torch.cat([(labels == word).nonzero().flatten() for word in range(12)]).view(12, 60)
    kept, tested = order[:, :10].flatten(), order[:, 10:].flatten() if limit is not None else order.flatten()
    return Study(
        net,
        Classification(classes=12),
        [(features[part], labels[part]) for part in tested.split(120)],
        [(features[kept], labels[kept])],
    )


def chargpt(folder: Path, nets: Any, limit: int | None) -> Study:
    words = (folder / "chargpt/names.txt").read_text().split()
    with torch.random.fork_rng():
        torch.manual_seed(3407)  # makemore's default, which fixes the names that training did not see
        words = [words[place] for place in torch.randperm(len(words)).tolist()]

    def batches(some: Sequence[str]) -> list[Any]:
        x, y = torch.zeros(len(some), 16, dtype=torch.long), torch.full((len(some), 16), -1)
        for place, word in enumerate(some):
            codes = torch.tensor([ord(letter) - 96 for letter in word])
            x[place, 1 : len(word) + 1] = y[place, : len(word)] = codes
            y[place, len(word)] = 0
        return list(zip(x.split(250), y.split(250), strict=True))

    task = LanguageModeling(shift=False, ignored=-1)
    return Study(nets.load("chargpt"), task, batches(words[-1000:]), batches(words[:512]))


def g2pm(folder: Path, nets: Any, limit: int | None) -> Study:
    vocabulary = nets.read_json("g2pm/vocabulary.json")
    characters, classes = vocabulary["characters"], vocabulary["pronunciations"]

    def batches(split: str, count: int | None) -> list[Any]:
        lines, labels = (
            (folder / f"g2pm/{split}.{kind}").read_text(encoding="utf8").splitlines()[:count] for kind in ("sent", "lb")
        )
        by_length: dict[int, list[tuple[list[int], int, int]]] = {}
        for line, label in zip(lines, labels, strict=True):
            place = line.index("▁")  # the character between two of these is the polyphone
            ids = [characters.get(c, characters["<UNK>"]) for c in "시" + line.replace("▁", "") + "끝"]
            by_length.setdefault(len(ids), []).append((ids, place + 1, classes[label.strip()]))
        found = []
        for _, group in sorted(by_length.items()):
            for start in range(0, len(group), 128):
                ids, places, targets = zip(*group[start : start + 128], strict=True)
                found.append((torch.tensor(ids), torch.tensor(places), torch.tensor(targets)))
        return found

    count = None if limit is None else 2000
    return Study(AtPlace(nets.load("g2pm")), Classification(classes=876), batches("test", count), batches("dev", 256))


def dtln(folder: Path, nets: Any, limit: int | None) -> Study:
    from measure import mixtures

    clean, noisy, _ = mixtures()
    first = 0 if limit is None else 20
    test = list(zip(noisy[first:].split(10), clean[first:].split(10), strict=True))
    return Study(nets.load("dtln"), SpeechEnhancement(), test, [(noisy[:10], clean[:10]), (noisy[10:20], clean[10:20])])


STUDIES: dict[str, Callable[[Path, Any, int | None], Study]] = {
    "minilm": minilm,
    "kwt1": kwt1,
    "chargpt": chargpt,
    "g2pm": g2pm,
    "dtln": dtln,
}


def scaled(preset: Preset, scaling: str) -> Preset:
    """The preset with one digital scale a layer or a column."""
    plain = preset.model_dump(mode="json")
    plain["tile"]["weight_scaling"] = scaling
    return Preset.model_validate(plain)


def simulate(study: Study, name: str, preset: str, scaling: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every chip of one network under one preset, as rows of the results."""
    given = {"network": name, "preset": preset, "scaling": scaling, "chips": options.chips, "seed": SEED}
    folder = options.runs / f"{name}-{preset}-{scaling}-{options.chips}"
    with RunFolder.create(folder, given, volatile=("chips",)) as run, warnings.catch_warnings():
        warnings.simplefilter("ignore", InputRangeWarning)
        run.set_meta("task", stored_task(study.task.name, study.task.metrics))
        simulate_drift(
            study.model,
            scaled(load_preset(preset), scaling),
            study.test,
            task=study.task,
            times=TIMES,
            instances=options.chips,
            seed=SEED,
            calibration=study.calibration,
            calibrate=("affine",),
            label=name,
            store=run,
            progress=lambda text: print(f"{name}, {preset}, {scaling}: {text}", file=sys.stderr, flush=True),
        )
        headline = stored_metrics(run.meta("task"))[0]
        return [
            {
                "network": name,
                "preset": preset,
                "scaling": scaling,
                "calibration": record.calibration,
                "stage": record.stage,
                "time_seconds": record.time_seconds,
                "chip": record.instance,
                "metric": record.metric,
                "value": record.value,
            }
            for record in run.records()
            if record.metric == headline.name
        ]


def merge(rows: Sequence[dict[str, Any]]) -> None:
    """Put rows into the results; those of the same network, preset and scaling are replaced."""
    new = pd.DataFrame(rows)
    if RESULTS.exists():
        old = pd.read_csv(RESULTS)
        keys = ["network", "preset", "scaling"]
        replaced = old[keys].apply(tuple, axis=1).isin(set(new[keys].apply(tuple, axis=1)))
        new = pd.concat([old[~replaced], new])
    RESULTS.parent.mkdir(exist_ok=True)
    new.to_csv(RESULTS, index=False, float_format="%.6g", lineterminator="\n")


TITLES = {
    "minilm": ("all-MiniLM-L6-v2, sentence transformer, STS benchmark", "Spearman correlation x 100", 2),
    "kwt1": ("KWT-1, keyword transformer, Speech Commands", "accuracy, %", 2),
    "chargpt": ("makemore, GPT on characters, names", "cross-entropy a character, nats (lower is better)", 3),
    "g2pm": ("g2pM, bidirectional LSTM, Chinese polyphones", "accuracy, %", 2),
    "dtln": ("DTLN, four LSTMs, noise removed from speech", "SI-SDR, dB", 2),
}
_NAMES = {"per_layer": "layer", "per_column": "column", "none": "none", "affine": "affine"}


_INTRODUCTION = """\
Made by `python benchmarks/networks.py --table` from `benchmarks/results/networks.csv`. Each entry is the mean and the
standard deviation over chips of one network, which others trained. The sources of both presets cover one day: values
after one year (†) are extrapolated. "Scale" says whether each layer or each of its columns has a digital scale.
"Calibration" says whether each output column was corrected by a factor and an offset, fitted on calibration data at the
time of the test. `pcm_nandakumar_2019` has exact products. `pcm_rasch_2023` has 8-bit converters, with input ranges
chosen on the calibration data, output noise, read noise and IR drop. The ranges were chosen by the error of all vectors
together; the present choice, which also looks at them one by one, was not measured here. The benchmark names the
data."""


def mean_and_spread(values: Sequence[float], decimals: int) -> str:
    """Mean ± standard deviation over chips, the latter with two or more; both rounded once, alike on any processor."""
    spread = f" ± {stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{decimals}f}{spread}"


def page() -> str:
    """docs/networks.md, made from the results."""
    assert __doc__ is not None
    frame = pd.read_csv(RESULTS, keep_default_na=False, na_values=[""])
    parts = [
        "# Networks: transformers and LSTMs on phase-change memory",
        _INTRODUCTION,
    ]
    for name, (title, unit, decimals) in TITLES.items():
        own = frame[frame.network == name]
        if own.empty:
            continue
        digital = own[own.stage == "digital"].value.iloc[0]
        chips = own[own.stage == "drift"].sort_values(["preset", "scaling"], ascending=[True, False], kind="stable")
        rows = [
            "| preset | scale | calibration | chips | 1 s | 1 d | 1 y † |",
            "| --- | --- | --- | --: | --: | --: | --: |",
        ]
        for (preset, scaling, calibration), group in chips.groupby(["preset", "scaling", "calibration"], sort=False):
            cells = [mean_and_spread(values, decimals) for _, values in group.groupby("time_seconds").value]
            row = (f"`{preset}`", _NAMES[scaling], _NAMES[calibration], str(group.chip.nunique()), *cells)
            rows.append("| " + " | ".join(row) + " |")
        parts += [f"## {title}", f"Digital: {digital:.{decimals}f}. {unit[0].upper()}{unit[1:]}.", "\n".join(rows)]
    measured = set(zip(frame.network, frame.preset, strict=True))
    if absent := [
        f"{TITLES[name][0]}, `{preset}`" for name in TITLES for preset in PRESETS if (name, preset) not in measured
    ]:
        parts += ["## Not measured yet", "\n".join(f"- {line}" for line in absent)]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("../shared/networks"))
    parser.add_argument("--runs", type=Path, default=Path("runs/networks"))
    parser.add_argument("--networks", nargs="*", default=list(STUDIES), choices=STUDIES)
    parser.add_argument("--presets", nargs="*", default=list(PRESETS), choices=PRESETS)
    parser.add_argument("--scalings", nargs="*", default=list(SCALINGS), choices=SCALINGS)
    parser.add_argument("--chips", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=400, help="of minilm")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--digital", action="store_true")
    parser.add_argument("--table", action="store_true", help="make docs/networks.md from the results, measure nothing")
    options = parser.parse_args()
    if options.table:
        PAGE.write_text(page())
        return
    torch.set_num_threads(options.threads)
    if not options.folder.is_dir():
        sys.exit(f"{options.folder}: no such folder; give the folder of the networks with --folder")
    sys.path.insert(0, str(options.folder.resolve()))
    import nets

    for name in options.networks:
        study = STUDIES[name](options.folder.resolve(), nets, None if options.digital else options.pairs)
        if options.digital:
            metric: Metric = study.task.headline
            value = score(study.model, study.test, study.task).values[metric.name]
            print(f"{name}: {metric.title} {value:.{metric.decimals}f} {metric.unit}")
            continue
        for preset in options.presets:
            for scaling in options.scalings:
                merge(simulate(study, name, preset, scaling, options))


if __name__ == "__main__":
    main()
