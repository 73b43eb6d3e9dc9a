"""Run the second study, as protocol.md lays it down: train, choose, and measure, one stage after the other.

    python benchmarks/study/study.py start --images npz:cifar10_train.npz
    python benchmarks/study/study.py select --images npz:cifar10_train.npz
    python benchmarks/study/study.py choose
    python benchmarks/study/study.py primary --images npz:cifar10_train.npz --test npz:cifar10_test.npz

start    trains the start networks
select   finds the size of each rise, trains the candidates and scores them on held-out images
choose   writes chosen.toml from the scores; it is committed before any test image is read
primary  trains the arms of the primary contrasts, ten times each, and reads the test images

Every finished training adds its lines to values/STAGE.csv, and the same call again goes on after them. --arms gives a
part of the work, so that several processes can share it; they may write to one file. Networks stay in --runs.

    values/STAGE.csv   a line for each chip and condition: how many images it read, how many were right
    values/sizes.csv   the size of each perturbation, and the rise that it was found for
    values/outcomes    of primary: whether each image was right, as packed bits; `Chips.places` says which a chip reads
"""

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import tomli_w
import torch
from arms import ARMS, CLIPS, DAY, PRESET, SAME_WHEN_CLIPPED, Candidate, start_options
from axis import FIRST, loss_rise, size_for
from choosing import IDENTITY, append, best, best_rise, chosen_of, of_candidate, read
from contrasts import chosen_aware
from measuring import Chips, Images, Reading, aged, read_digital, read_generic, read_preset
from torch import nn

from analog_samson import rng
from analog_samson.data import ImageSet, open_data
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.results.condition import ADABS
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.runtime.older_python import tomllib
from analog_samson.training.fit import fit
from analog_samson.training.records import TrainProgress

HERE = Path(__file__).parent
VALUES, CHOSEN = HERE / "values", HERE / "chosen.toml"
MODEL, SIGMA = "resnet20", 0.4
CHECKPOINT = "checkpoint.safetensors"
COLUMNS = [*IDENTITY, "condition", "chip", "images", "right", "training_seconds"]
SELECTION = Chips(seed=0, instances=range(100, 105), parts=5)
GENERIC_PARTS = {"select": 1, "primary": 4}
PRIMARY = ("sgd", "asam", "samson_inf", "hardware_aware")


class Study:
    """The images, where networks and values lie, and what every stage does with a candidate."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.images, self.runs = Images.open(options.images, options.device), options.runs
        self.device = options.device
        self.calibration = self.images.calibration()
        self.stage = options.stage

    def start(self, number: int) -> nn.Module:
        """A start network, which is trained if it is not there yet."""
        with rng.stream(number, "initial weights"):
            model = build_model(MODEL)
        folder = self.runs / f"start{number}"
        if not (folder / "done").exists():
            fit(
                model, self.images.train, self.images.held_out, start_options(number), folder=folder, progress=say_epoch
            )
            (folder / "done").touch()
        return restore_model(load_checkpoint(folder / CHECKPOINT), MODEL).to(self.device)

    def size(self, candidate: Candidate) -> float | None:
        """The size that raises the loss as the candidate wants, at the network that SGD gives with its clipping."""
        if ARMS[candidate.arm].size is None:
            return None
        known = read(VALUES / "sizes.csv")
        if len(known):
            clip, rise = candidate.clip or 0.0, candidate.rise
            same = known[(known.arm == candidate.arm) & (known["clip"].fillna(0) == clip) & (known.rise == rise)]
            if len(same):
                return float(same["size"].iloc[0])
        assert candidate.rise is not None
        model = self.trained(Candidate("sgd", candidate.clip))[0].eval()
        batches = self.images.for_rises()
        found = size_for(
            lambda size: loss_rise(model, batches, candidate.arm, size),
            candidate.rise,
            first=_guess(known, candidate),
        )
        line = {"arm": candidate.arm, "clip": candidate.clip, "rise": candidate.rise, "size": f"{found:.6g}"}
        append(VALUES / "sizes.csv", [line])
        return float(line["size"] or 0)

    def trained(self, candidate: Candidate) -> tuple[nn.Module, dict[str, float] | None, float]:
        """The fine-tuned network, its learned input ranges if it has any, and the seconds of its training."""
        folder, begin = self.runs / candidate.name, time.perf_counter()
        seconds = folder / "seconds"
        if not seconds.exists():
            options = candidate.options(self.size(candidate))
            begin = time.perf_counter()
            fit(self.start(candidate.start), self.images.train, self.images.held_out, options, folder=folder)
            (folder / "resume.pt").unlink()
            seconds.write_text(f"{time.perf_counter() - begin:.1f}\n")
        checkpoint = load_checkpoint(folder / CHECKPOINT)
        ranges = checkpoint.metadata.get("input_ranges")
        return restore_model(checkpoint, MODEL).to(self.device), ranges, float(seconds.read_text())

    def lines(self, candidate: Candidate, images: ImageSet, chips: Chips) -> pd.DataFrame:
        """The values of a candidate in the conditions of the primary contrasts; measured where they are not stored."""
        path = VALUES / f"{self.stage}.csv"
        if len(known := of_candidate(read(path), candidate)):
            return known
        model, ranges, seconds = self.trained(candidate)
        readings = [
            read_digital(model, images),
            *read_preset(model, images, chips, PRESET, dict([aged(PRESET, DAY, ADABS)]), self.calibration, ranges),
            *read_generic(
                model, images, replace(chips, parts=GENERIC_PARTS[self.stage]), SIGMA, ADABS, self.calibration
            ),
        ]
        self._store_outcomes(candidate, readings)
        lines = [
            {
                **{name: getattr(candidate, name) for name in IDENTITY},
                "condition": one.condition,
                "chip": one.chip,
                "images": len(one.right),
                "right": int(one.right.sum()),
                "training_seconds": seconds,
            }
            for one in readings
        ]
        append(path, lines)
        return of_candidate(read(path), candidate)

    def _store_outcomes(self, candidate: Candidate, readings: Sequence[Reading]) -> None:
        folder = VALUES / "outcomes" if self.stage == "primary" else self.runs / "outcomes"
        folder.mkdir(parents=True, exist_ok=True)
        kept = {one.key_of(one.condition, one.chip): np.packbits(one.right) for one in readings}
        np.savez_compressed(folder / f"{candidate.name}.npz", **kept)

    def score(self, candidate: Candidate) -> float:
        """What decides between candidates: the mean of the two accuracies on held-out images [%]."""
        found = self.lines(candidate, self.images.held_out, SELECTION)
        score = mean_accuracy(found)
        say(f"{candidate.name}: {score:.2f} %")
        return score


def mean_accuracy(lines: pd.DataFrame) -> float:
    """The mean over conditions of the mean over chips [%]; the digital network is left out."""
    chips = lines[lines.chip.notna()]
    return float((100 * chips.right / chips.images).groupby(chips.condition).mean().mean())


def select(study: Study, arms: Iterable[str]) -> None:
    """Train and score the candidates of the arms."""
    clip = best([(study.score(Candidate("sgd", each)), each) for each in reversed(CLIPS)])
    study.score(Candidate("sgd"))
    for arm in arms:
        if arm == "sgd":
            continue
        for clipped in (False, True):
            if clipped and arm in SAME_WHEN_CLIPPED:
                continue
            rise = best_rise(study.score, arm, clip if clipped else None)
            if clipped:
                for other in CLIPS:
                    study.score(Candidate(arm, other, rise))


def choose() -> None:
    """Write chosen.toml: of each arm, without and with clipping, the candidate with the best score."""
    CHOSEN.write_text(
        "# Made by `python benchmarks/study/study.py choose` from values/select.csv.\n"
        + tomli_w.dumps(chosen_of(read(VALUES / "select.csv"), mean_accuracy))
    )


def primary(study: Study, test: ImageSet, arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Train the arms of the primary contrasts and read the test images."""
    chosen = tomllib.loads(CHOSEN.read_text())

    def candidate(arm: str, which: str, seed: int) -> Candidate:
        found = chosen[arm][which]
        return Candidate(arm, found.get("clip"), found.get("rise"), seed)

    wanted = [("sgd", "clipped"), ("asam", "clipped"), ("asam", "unclipped"), ("samson_inf", "unclipped")]
    for seed in seeds:
        for arm, which in (*wanted, ("hardware_aware", chosen_aware(chosen))):
            if arm in arms:
                one = candidate(arm, which, seed)
                study.lines(one, test, Chips(seed=seed, instances=range(10), parts=4))
                say(f"{one.name}: read")


def _guess(known: pd.DataFrame, candidate: Candidate) -> float:
    """A size to begin the search with: that of the nearest rise which is known."""
    same = known[known.arm == candidate.arm] if len(known) else known
    if same.empty:
        return FIRST[ARMS[candidate.arm].size or ""]
    nearest = same.loc[(np.log(same.rise / candidate.rise)).abs().idxmin()]
    return float(nearest["size"])


def say(*parts: object) -> None:
    """Tell how far the study is."""
    print(time.strftime("%H:%M:%S"), *parts, file=sys.stderr, flush=True)


def say_epoch(progress: TrainProgress) -> None:
    """Tell the values of a finished epoch."""
    if progress.record is not None:
        say(progress.record.row())


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("start", "select", "choose", "primary"))
    parser.add_argument("--images", default="npz:cifar10_train.npz", help="training images of CIFAR-10")
    parser.add_argument("--test", default="npz:cifar10_test.npz", help="test images of CIFAR-10")
    parser.add_argument("--runs", type=Path, default=Path("runs/study2"), help="where networks and outcomes go")
    parser.add_argument("--arms", nargs="*", choices=ARMS, help="a part of the arms")
    parser.add_argument("--seeds", nargs="*", type=int, help="of the trainings; start: the start networks")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if options.stage == "choose":
        return choose()
    study = Study(options)
    if options.stage == "start":
        for number in options.seeds or (0, 1):
            study.start(number)
    elif options.stage == "select":
        select(study, options.arms or ARMS)
    else:
        primary(study, open_data(options.test, "test"), options.arms or PRIMARY, options.seeds or range(10))
    return None


if __name__ == "__main__":
    main()
