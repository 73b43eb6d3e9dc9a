"""What does a step of hardware-aware training take, beside a digital step and beside aihwkit's?

    python benchmarks/hardware_aware_step.py --rounds 7

ResNet-20 on images made of noise, one thread, one process: forward and backward pass, and the update by SGD with
momentum. Products run through the converters of `pcm_rasch_2023` (8 bits, output and read noise, IR drop), and input
ranges are learned; no noise is added to the weights unless the line says so. aihwkit's network is that of
`convert_to_analog` with the same configuration and its `AnalogSGD`. In a round each takes one step, in random order, on
its own copy of the network. Told is the median over rounds of its time over that of the digital step of the same round.
Writes results/hardware_aware_step.json; `python benchmarks/table.py` renders the README.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.optim import AnalogSGD
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from analog_samson import load_preset, plan_conversion
from analog_samson.chip.rpu import rpu_config
from analog_samson.models.build import build_model
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.tasks.classification import Classification
from analog_samson.training.batch import Batch, Shard
from analog_samson.training.hardware_aware import HardwareForward
from analog_samson.training.optimizer import make_optimizer
from analog_samson.training.options import TrainOptions
from analog_samson.training.step import EpochGenerators, StepIndex, TrainStep

RESULT = Path(__file__).parent / "results" / "hardware_aware_step.json"
PRESET = load_preset("pcm_rasch_2023")
NOISE = {"noise_preset": PRESET, "noise_time": 86400.0}
Step = Callable[[], None]


def ours(model: nn.Module, x: Tensor, y: Tensor, **given: Any) -> Step:
    """A step of this project's training."""
    options = TrainOptions(seed=0, batch_size=len(x), learning_rate=1e-3, **given)
    hardware = None
    if options.hardware_aware is not None:
        hardware = HardwareForward(model, plan_conversion(model, PRESET), [x], seed=0)
    train = TrainStep(
        model=model,
        optimizer=make_optimizer(model, options, hardware),
        task=Classification(),
        ascent=options.ascent(model),
        options=options,
        hardware=hardware,
    )
    batch, generators = Batch((x, y), Shard(len(x))), EpochGenerators.of(0, 0, x.device)

    def step() -> None:
        with train.epoch():
            train(batch, generators, StepIndex(epoch=0, step=0, steps=1))

    return step


def theirs(model: nn.Module, x: Tensor, y: Tensor) -> Step:
    """A step of aihwkit's training, of the same converters."""
    analog = convert_to_analog(model, rpu_config(PRESET)).train()
    optimizer = AnalogSGD(analog.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(analog(x), y).backward()
        optimizer.step()

    return step


CONTENDERS: dict[str, Callable[..., Step]] = {
    "digital": ours,
    "converters": lambda *given: ours(*given, hardware_aware=PRESET),
    "converters and weight noise": lambda *given: ours(*given, hardware_aware=PRESET, **NOISE),
    "converters, weight noise and ASAM": lambda *given: ours(
        *given, hardware_aware=PRESET, **NOISE, method="asam", rho=0.5
    ),
    "ASAM, digital": lambda *given: ours(*given, method="asam", rho=0.5),
    "aihwkit: converters": theirs,
}


def measure(network: str, size: int, pixels: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each contender; what it took in every round is kept."""
    field = {}
    for name, make in CONTENDERS.items():
        torch.manual_seed(0)
        model: Any = build_model(network, num_classes=10, in_channels=3).train()
        field[name] = make(model, torch.randn(size, 3, pixels, pixels), torch.randint(10, (size,)))
    turns = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in field}
    for number in range(rounds + 1):
        for name in turns.sample(list(field), len(field)):
            begin = time.process_time()
            field[name]()
            if number:  # the first round warms up
                seconds[name].append(time.process_time() - begin)
    reference = seconds["digital"]
    rows = []
    for name, own in seconds.items():
        ratios = [one / other for one, other in zip(own, reference, strict=True)]
        rows.append(
            {
                "step": name,
                "median_seconds": round(statistics.median(own), 4),
                "median_ratio": round(statistics.median(ratios), 2),
                "lowest_ratio": round(min(ratios), 2),
                "highest_ratio": round(max(ratios), 2),
                "seconds": [round(value, 4) for value in own],
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--pixels", type=int, default=32, help="side of an image")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    report = {
        "benchmark": "hardware_aware_step",
        "network": given.network,
        "batch": given.batch,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
        "rounds": given.rounds,
        "rows": measure(given.network, given.batch, given.pixels, given.rounds),
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main()
