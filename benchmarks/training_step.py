"""What does a step of SAMSON at SGD's price take, beside full SAMSON and SGD?

    python benchmarks/training_step.py --rounds 9

The cheaper variants of the study's clipped SAMSON, with the hyper-parameters chosen there, on images made of noise, one
thread, in one process. In a round each takes a cycle of four steps, for some climb in every fourth step only, in random
order, each on its own copy of the network. Told is the median over rounds of its time over that of clipped SGD in the
same round. Writes results/training_step.json, from which `make study-page` takes the prices.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from analog_samson.experiments.catalogue import load_experiment, networks_of
from analog_samson.experiments.plan import Cell, Overrides, plan_cells
from analog_samson.models.build import build_model
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.tasks.classification import Classification
from analog_samson.training.batch import Batch, Shard
from analog_samson.training.options import TrainOptions
from analog_samson.training.step import EpochGenerators, StepIndex, TrainStep

HERE = Path(__file__).parent
RESULT = HERE / "results" / "training_step.json"
STUDY = HERE / "study"
PRICED = (
    "sgd_clip",
    "samson_inf_clip_every4_half",
    "samson_inf_clip_every4",
    "samson_inf_clip_half",
    "samson_inf_clip",
)
SETTINGS = {
    "digits_cnn_digits": (1, 8, 8),
    "resnet20_cifar10_tuned": (3, 32, 32),
    "resnet32_cifar10_tuned": (3, 32, 32),
}
CYCLE = 4  # steps between two climbs of those that climb least


def priced_cells(setting: str) -> list[Cell]:
    """The first training of each priced method that the study has in this setting, the cheapest first."""
    networks = networks_of(load_experiment(STUDY / "study.toml"))
    values = pd.read_csv(STUDY / "values.csv.gz", dtype=str, keep_default_na=False)
    final = values[(values.setting == setting) & (values.stage == "final")]
    chosen = {
        (setting, method): {name: float(value) for name, value in (part.split("=") for part in options.split())}
        for method, options in final.set_index("method")["hyperparameters"].items()
    }
    cells = plan_cells(networks, networks.scale("mini"), Overrides(seeds=(0,)), chosen)
    priced = {
        cell.method: cell for cell in cells if cell.setting.name == setting and cell.method in final.method.values
    }
    return [priced[name] for name in PRICED if name in priced]


def trainer(cell: Cell, shape: tuple[int, ...]) -> Callable[[], None]:
    """A cycle of steps of this training."""
    options = TrainOptions(**cell.training, seed=cell.seed)
    torch.manual_seed(0)
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    model: Any = build_model(cell.network, num_classes=10, in_channels=shape[0]).train().to(memory_format=layout)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=1e-3,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
    )
    ascent = options.ascent(model)
    train = TrainStep(model=model, optimizer=optimizer, task=Classification(), ascent=ascent, options=options)
    x = torch.randn(options.batch_size, *shape).contiguous(memory_format=layout)
    batch = Batch((x, torch.randint(10, (options.batch_size,))), Shard(options.batch_size))
    generators = EpochGenerators.of(0, 0, x.device)

    def cycle() -> None:
        with train.epoch():
            for step in range(CYCLE):
                train(batch, generators, StepIndex(epoch=0, step=step, steps=CYCLE))

    return cycle


def timed(run: Callable[[], None]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def measure(setting: str, shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Rows in the order of the price list, the reference first; what each took in every round is kept."""
    cells = priced_cells(setting)
    field = {cell.method: trainer(cell, shape) for cell in cells}
    turns = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in field}
    for number in range(rounds + 1):
        for name in turns.sample(list(field), len(field)):
            took = timed(field[name]) / CYCLE
            if number:  # the first round warms up
                seconds[name].append(took)
    reference = seconds[cells[0].method]
    return {
        "setting": setting,
        "network": cells[0].network,
        "batch": cells[0].training["batch_size"],
        "rows": [_row(cell, seconds[cell.method], reference) for cell in cells],
    }


def _row(cell: Cell, mine: Sequence[float], reference: Sequence[float]) -> dict[str, Any]:
    ratios = [one / two for one, two in zip(mine, reference, strict=True)]
    return {
        "method": cell.method,
        "gradients": cell.gradients,
        "median_seconds": round(statistics.median(mine), 5),
        "median_ratio": round(statistics.median(ratios), 3),
        "lowest_ratio": round(min(ratios), 3),
        "highest_ratio": round(max(ratios), 3),
        "seconds": [round(value, 5) for value in mine],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    report = {
        "benchmark": "training_step",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
        "rounds": given.rounds,
        "cases": [measure(setting, SETTINGS[setting], given.rounds) for setting in given.settings],
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
