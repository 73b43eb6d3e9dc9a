"""How many forwards does `--images adaptive` save for an interval as narrow as that of ten chips on all images?

    python benchmarks/adaptive_images.py --shared DIR --runs DIR

Chips of each network are measured on all of its test samples once, one day after programming on pcm_nandakumar_2019,
and stored in --runs with the outcome of every sample. Studies are then drawn from them without a further forward: chips
with replacement, and for each the samples that `--images adaptive` would draw; each study has a pilot of its own. The
chips that were stored are the population, so their mean is what intervals should cover. Forwards are those of chips,
the pilot's included; the digital network goes over all samples in both. Processor time is that of one
thread: of a whole study with adaptive images, as many chips as the same half-width takes; and of the digital pass and
ten times that of one chip on all samples.
Writes results/adaptive_images.json.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from analog_samson.analysis.image_sample import ImageSample, even_sample, neyman_sample
from analog_samson.analysis.statistics import t_quantile
from analog_samson.results.condition import Condition
from analog_samson.results.store import RunFolder
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.simulation.adaptive import SampleScores
from analog_samson.simulation.drift import simulate_drift
from analog_samson.simulation.inputs import load_inputs
from analog_samson.simulation.options import SimulateOptions
from analog_samson.tasks.scoring import score

RESULTS = Path(__file__).parent / "results"
PRESET, DAY, TEN, STUDIES, SEED = "pcm_nandakumar_2019", 86400.0, 10, 2000, 0


class Network:
    """A network with its task and test data."""

    def __init__(self, name: str, shared: Path) -> None:
        self.name = name
        if name == "KWT-1":
            sys.path[:0] = [str(shared / "networks"), str(Path(__file__).parent)]
            import nets
            from networks import kwt1

            study = kwt1(shared / "networks", nets, None)
            self.model, self.data, self.task = study.model, study.test, study.task
            return
        checkpoints = {
            "ResNet-20": {
                "checkpoint": str(shared / "checkpoints/resnet20-12fca82f.th"),
                "model": "resnet20",
                "normalization": "imagenet",
            },
            "ResNet-32 soup": {"checkpoint": "zoo:resnet32_soup_cifar10"},
        }
        options = SimulateOptions(data=f"npz:{shared / 'data/cifar10_test.npz'}", sigmas=(), **checkpoints[name])
        inputs = load_inputs(options)
        self.model, self.task = inputs.model, inputs.task
        self.data = inputs.batches(inputs.images, options, channels_last=True)

    def simulate(self, chips: int, **options: Any) -> Any:
        return simulate_drift(
            self.model, PRESET, self.data, times=[DAY], instances=chips, seed=SEED, task=self.task, **options
        )

    def seconds(self, chips: int) -> dict[str, float]:
        """Processor time of so many chips with adaptive images, and of ten on all samples."""
        begin = time.process_time()
        self.simulate(chips, images="adaptive")
        adaptive, begin = time.process_time() - begin, time.process_time()
        self.scores()
        digital, begin = time.process_time() - begin, time.process_time()
        self.simulate(1)
        chip = time.process_time() - begin - digital
        return {"all": digital + TEN * chip, "adaptive": adaptive, "digital": digital, "chip": chip}

    def outcomes(self, chips: int, folder: Path) -> np.ndarray:
        """Whether each chip got each sample right, bool (chips, samples); from the folder where it was measured."""
        with RunFolder.create(folder, {"network": self.name, "chips": chips}) as run:
            result = self.simulate(chips, store=run)
        found = [result.outcomes(chip, Condition(stage="drift", time_seconds=DAY)) for chip in range(chips)]
        return np.stack([right for right in found if right is not None])

    def scores(self) -> np.ndarray:
        """The margins of the digital network."""
        watch = SampleScores(self.task)
        score(self.model, self.data, self.task, watch=watch)
        return watch.values()


def on_all(right: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    """The values [%] of ten chips in each of the studies, shape (studies, chips)."""
    values = 100 * right.mean(axis=1)
    return values[draws.integers(len(values), size=(STUDIES, TEN))]


def adaptive(right: np.ndarray, scores: np.ndarray, chips: int, draws: np.random.Generator) -> tuple[np.ndarray, int]:
    """The same of chips on part of the samples, and how many these are."""
    pilot, found = even_sample(scores), []
    for _ in range(STUDIES):
        places = pilot.places(draws.random(len(scores)))
        variances = pilot.variances(places, 100.0 * right[draws.integers(len(right)), places])
        sample = neyman_sample(pilot, variances[None])
        found.append([estimate(sample, right[draws.integers(len(right))], draws) for _ in range(chips)])
    return np.array(found), sample.size


def estimate(sample: ImageSample, right: np.ndarray, draws: np.random.Generator) -> float:
    """The value [%] of one chip from the samples that it draws."""
    places = sample.places(draws.random(len(right)))
    return sample.estimate(places, 100.0 * right[places])


def intervals(values: np.ndarray, truth: float) -> dict[str, float]:
    """The mean half-width of 95 % intervals, and how many of 100 cover the truth."""
    chips = values.shape[1]
    reach = t_quantile(chips) * values.std(axis=1, ddof=1) / np.sqrt(chips)
    covered = np.abs(values.mean(axis=1) - truth) <= reach
    return {"halfwidth": float(reach.mean()), "coverage": float(100 * covered.mean())}


def measure(network: Network, chips: int, runs: Path, *, timed: bool) -> dict[str, Any]:
    right, scores = network.outcomes(chips, runs / network.name), network.scores()
    draws = np.random.default_rng(SEED)
    truth, samples = float(100 * right.mean()), right.shape[1]
    whole = intervals(on_all(right, draws), truth)
    # One study for each number of chips would be slow: chips are independent, so the first few columns are a study.
    values, size = adaptive(right, scores, 3 * TEN, draws)
    needed = next(
        n for n in range(2, 3 * TEN + 1) if intervals(values[:, :n], truth)["halfwidth"] <= whole["halfwidth"]
    )
    part = intervals(values[:, :needed], truth)
    report = {
        "network": network.name,
        "samples": samples,
        "stored_chips": chips,
        "spread_points": float(100 * right.mean(axis=1).std(ddof=1)),
        "all": {"chips": TEN, "samples": samples, "forwards": TEN * samples, **whole},
        "adaptive": {"chips": needed, "samples": size, "forwards": (needed + 1) * size, **part},
        "ten_adaptive": intervals(values[:, :TEN], truth),
        "forwards_ratio": (needed + 1) * size / (TEN * samples),
    }
    if timed:
        seconds = network.seconds(needed)
        report |= {"seconds": seconds, "seconds_ratio": seconds["adaptive"] / seconds["all"]}
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder with checkpoints, data and networks")
    parser.add_argument("--runs", type=Path, default=Path(tempfile.gettempdir()) / "adaptive_images")
    parser.add_argument("--networks", nargs="+", default=["ResNet-20", "ResNet-32 soup", "KWT-1"])
    parser.add_argument("--chips", type=int, default=16, help="chips to store of each network")
    parser.add_argument("--untimed", action="store_true", help="measure no time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    cases = []
    for name in options.networks:
        network = Network(name, options.shared)
        cases.append(measure(network, options.chips, options.runs, timed=not options.untimed))
        print(json.dumps(cases[-1], indent=1))
    report = {"benchmark": "adaptive_images", "preset": PRESET, "studies": STUDIES, "threads": 1, "cases": cases}
    (RESULTS / "adaptive_images.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
