"""Run the part of the second study that is beyond images, as protocol.md lays it down.

    python benchmarks/study/beyond.py select --folder ../shared/networks
    python benchmarks/study/beyond.py choose
    python benchmarks/study/beyond.py test --folder ../shared/networks

select   trains the candidates and scores them on held-out samples
choose   writes beyond_chosen.toml from the scores; it is committed before any test sample is read
test     trains each method with its choice, five times, and reads the test samples

Every finished training adds its lines to values/beyond_STAGE.csv, and the same call again goes on after them. Networks
stay in --runs. --networks, --arms and --seeds give a part of the work. Needs the folder of networks that
benchmarks/networks.py uses.

    values/beyond_STAGE.csv   a line for each chip and condition: how many samples it read, and the metric's value
    values/beyond_sizes.csv   the size of each perturbation, and the rise that it was found for
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tomli_w
import torch
from arms import ARMS, DAY, PRESET, SAME_WHEN_CLIPPED, Candidate
from axis import FIRST, NoSize, loss_rise, size_for
from choosing import IDENTITY, append, best, best_rise, chosen_of, of_candidate, read
from languages import IN_NATS, LANGUAGES, Language, open_language, training_batches
from measuring import Chips, Reading, read_digital, read_generic, read_preset
from study import say
from torch import nn

from analog_samson import rng
from analog_samson.models.checkpoint import load_checkpoint, load_into
from analog_samson.presets import load_preset
from analog_samson.presets.schema import Preset
from analog_samson.results.condition import DRIFT, UNCALIBRATED, Condition
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.runtime.older_python import tomllib
from analog_samson.tasks.scoring import score
from analog_samson.training.fit import fit
from analog_samson.training.options import TrainOptions
from analog_samson.training.records import TrainingError

HERE = Path(__file__).parent
VALUES, CHOSEN = HERE / "values", HERE / "beyond_chosen.toml"
METHODS = ("sgd", "sam", "asam", "samson_inf", "noise", "hardware_aware")
RISES = (0.05, 0.2, 0.8)
YEAR = 365 * DAY
PARTS = 5  # chips, each of which reads its own fifth of the batches
EXACT = load_preset("pcm_nandakumar_2019")
SCALINGS = ("per_layer", "per_column")
SIGMAS = {"select": (0.2,), "test": (0.2, 0.4)}
HARDWARE = {"select": [(PRESET, (DAY,))], "test": [(EXACT, (DAY, YEAR)), (PRESET, (DAY, YEAR))]}
INSTANCES = {"select": range(100, 100 + PARTS), "test": range(PARTS)}


class BatchShares(Chips):
    """Chips that read whole batches: of samples of one length, which lie in the order of their lengths."""

    def share(self, images: Any, chip: int) -> tuple[np.ndarray, Any]:
        """The positions of the batches that this chip reads, and those batches."""
        index = self.places(len(images), chip)
        return index, [images[place] for place in index]


def scaled(preset: Preset, scaling: str) -> Preset:
    """The preset with one digital scale a layer or a column."""
    plain = preset.model_dump(mode="json")
    plain["tile"]["weight_scaling"] = scaling
    return Preset.model_validate(plain)


class Beyond:
    """One network, and what each stage does with a candidate."""

    def __init__(self, name: str, language: Language, stage: str, runs: Path, device: str = "cpu") -> None:
        self.name, self.language, self.stage, self.device = name, language, stage, device
        self.runs = runs / name
        self.runs.mkdir(parents=True, exist_ok=True)
        self.batches = training_batches(language.training, language.batch_size, device)
        full = [batch for batch in self.batches if len(batch[1]) == max(len(labels) for _, labels in self.batches)]
        order = torch.randperm(len(full), generator=rng.generator(0, "few"))
        self.few = [full[place] for place in order[:4].tolist()]  # for radii and input ranges

    def start(self, seed: int) -> nn.Module:
        """The network that a training begins at; made if it is not there yet."""
        number = seed % self.language.starts
        model, file = self.language.build(number), self.runs / f"start{number}.pt"
        if not file.exists():
            self.language.prepare(model, number)
            torch.save(model.state_dict(), file)
        model.load_state_dict(torch.load(file))
        return model.to(self.device)

    def size(self, candidate: Candidate) -> float | None:
        """The size that raises the loss as the candidate wants, at the plain network with its clipping.

        Raises:
            NoSize: None does.
        """
        method = ARMS[candidate.arm].size
        if method is None:
            return None
        path = VALUES / "beyond_sizes.csv"
        first = Candidate(candidate.arm, candidate.clip, candidate.rise)
        if len(known := of_candidate(self._own(path), first)):
            return float(known["size"].iloc[0])
        assert candidate.rise is not None
        model, task = self.trained(Candidate("sgd", candidate.clip))[0].eval(), self.language.task
        found = size_for(
            lambda size: loss_rise(model, self.few, candidate.arm, size, lambda out, y: task.loss(out, (None, y))),
            candidate.rise,
            first=FIRST[method],
        )
        append(path, [self._identity(first) | {"size": f"{found:.6g}"}])
        return float(f"{found:.6g}")

    def trained(self, candidate: Candidate) -> tuple[nn.Module, dict[str, float] | None, float]:
        """The fine-tuned network, its learned input ranges if it has any, and the seconds of its training."""
        folder, arm = self.runs / candidate.name, ARMS[candidate.arm]
        seconds = folder / "seconds"
        if not seconds.exists():
            options = {**self.language.options, **arm.given, "clip": candidate.clip, "seed": candidate.seed}
            options |= {} if arm.size is None else {arm.size: self.size(candidate)}
            model, begin = self.start(candidate.seed), time.perf_counter()
            held_out = self.language.held_out.batches(250, self.device)
            fit(model, self.batches, held_out, TrainOptions(**options), task=self.language.task, folder=folder)
            (folder / "resume.pt").unlink()
            seconds.write_text(f"{time.perf_counter() - begin:.1f}\n")
        checkpoint = load_checkpoint(folder / "checkpoint.safetensors")
        model = self.language.build(0)
        load_into(model, checkpoint)
        return model.to(self.device), checkpoint.metadata.get("input_ranges"), float(seconds.read_text())

    def lines(self, candidate: Candidate) -> pd.DataFrame:
        """The values of a candidate in the conditions of the stage; measured where they are not stored."""
        path = VALUES / f"beyond_{self.stage}.csv"
        if len(known := of_candidate(self._own(path), candidate)):
            return known
        model, ranges, seconds = self.trained(candidate)
        lines = [
            {
                **self._identity(candidate),
                "condition": one.condition,
                "chip": one.chip,
                "samples": int(one.right[1]),
                "value": f"{one.right[0]:.6g}",
                "training_seconds": seconds,
            }
            for one in self._readings(model, ranges, candidate.seed)
        ]
        append(path, lines)
        return of_candidate(self._own(path), candidate)

    def _readings(self, model: nn.Module, ranges: dict[str, float] | None, seed: int) -> Iterator[Reading]:
        samples = {"select": self.language.held_out, "test": self.language.test}[self.stage]
        batches = samples.batches(64, self.device)
        chips = BatchShares(seed, INSTANCES[self.stage], PARTS)
        yield read_digital(model, batches, self._outcome)
        for sigma in SIGMAS[self.stage]:
            yield from read_generic(model, batches, chips, sigma, UNCALIBRATED, (), self._outcome)
        for preset, times in HARDWARE[self.stage]:
            for scaling in SCALINGS:
                conditions = {
                    f"{preset.name}, {scaling}, {time:g} s": Condition(stage=DRIFT, time_seconds=time) for time in times
                }
                hardware = scaled(preset, scaling)
                yield from read_preset(model, batches, chips, hardware, conditions, self.few, ranges, self._outcome)

    def _outcome(self, network: nn.Module, batches: Any) -> np.ndarray:
        """The headline metric of the batches, and how many samples they have."""
        found = score(network, batches, self.language.task)
        return np.array([found.values[self.language.task.headline.name], found.count])

    def score(self, candidate: Candidate) -> float:
        """That of `score_of`; minus infinity where no size gives the rise, or the training diverges."""
        try:
            found = score_of(self.lines(candidate))
        except (NoSize, TrainingError) as error:
            say(f"{self.name}, {candidate.name}: {error}")
            return -np.inf
        say(f"{self.name}, {candidate.name}: {found:.4g}")
        return found

    def _own(self, path: Path) -> pd.DataFrame:
        values = read(path)
        return values if values.empty else values[values.network == self.name]

    def _identity(self, candidate: Candidate) -> dict[str, Any]:
        return {"network": self.name, **{name: getattr(candidate, name) for name in IDENTITY}}


def score_of(lines: pd.DataFrame) -> float:
    """What decides between candidates: the mean over conditions of the mean over chips; of a loss, its negative."""
    chips, sign = lines[lines.chip.notna()], -1 if lines.network.iloc[0] in IN_NATS else 1
    return sign * float(chips.value.groupby(chips.condition).mean().mean())


def select(study: Beyond, arms: Sequence[str]) -> None:
    """Train and score the candidates of the arms."""
    study.score(Candidate("sgd"))
    clip = best([(study.score(Candidate("sgd", each)), each) for each in reversed(study.language.clips)])
    for arm in arms:
        for clipped in (None, clip):
            if arm != "sgd" and not (clipped and arm in SAME_WHEN_CLIPPED):
                best_rise(study.score, arm, clipped, RISES, widened=0)


def choose() -> None:
    """Write beyond_chosen.toml: of each network the choice of `chosen_of`."""
    values = read(VALUES / "beyond_select.csv")
    chosen = {name: chosen_of(group, score_of) for name, group in values.groupby("network", sort=False)}
    CHOSEN.write_text(
        "# Made by `python benchmarks/study/beyond.py choose` from values/beyond_select.csv.\n" + tomli_w.dumps(chosen)
    )


def test(study: Beyond, arms: Sequence[str], seeds: Sequence[int]) -> None:
    """Train each method with its choice and read the test samples; all methods of a seed before the next seed."""
    chosen = tomllib.loads(CHOSEN.read_text())[study.name]
    for seed in seeds:
        for arm in arms:
            for found in chosen.get(arm, {}).values():
                one = Candidate(arm, found.get("clip"), found.get("rise"), seed)
                study.lines(one)
                say(f"{study.name}, {one.name}: read")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("select", "choose", "test"))
    parser.add_argument("--folder", type=Path, default=Path("../shared/networks"), help="of the networks")
    parser.add_argument("--runs", type=Path, default=Path("runs/beyond"), help="where networks go")
    parser.add_argument("--networks", nargs="*", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument("--arms", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(range(5)), help="of the trainings")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    if options.stage == "choose":
        return choose()
    for name in options.networks:
        study = Beyond(name, open_language(name, options.folder), options.stage, options.runs, options.device)
        if options.stage == "select":
            select(study, options.arms)
        else:
            test(study, options.arms, options.seeds)
    return None


if __name__ == "__main__":
    main()
