"""What `test_distributed.py` has two processes do: torchrun runs this file, and each process leaves what it found."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.trainings import made_set, network
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from analog_samson import rng
from analog_samson.cli.main import main
from analog_samson.data import NORMALIZATIONS, ImageSet
from analog_samson.errors import AnalogSamsonError, DataError
from analog_samson.training import DistributedContext, Teacher, TrainOptions, fit, joined_processes
from analog_samson.training.job import TrainJob, prepare_training

EPOCHS = 20  # of the training that is killed half-way
UNEVEN = {"batch_size": 15}  # of 47 images: parts of 8 and 7, and a last batch of 2 that is not divided
CASES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "uneven": UNEVEN,
    "sam": {"method": "sam", "ascent_sync": True},
    "samson": {"method": "samson", "ascent_sync": True},
    "samson uneven": {"method": "samson", "ascent_sync": True, **UNEVEN},
    "samson in part": {"method": "samson", "ascent_sync": True, "ascent_fraction": 0.4, **UNEVEN},
    "samson reused": {"method": "samson", "ascent_sync": True, "ascent_every": 2, "ramp_epochs": 1.0},
    "rwp": {"method": "rwp", "sigma": 0.05, "perturbed_share": 0.5, **UNEVEN},
    "noise": {"noise": 0.05, "clip": 0.2},
    "average": {"ema_decay": 0.9, "clip_std": 2.0},
    "smoothing": {"label_smoothing": 0.1, "schedule": "onecycle", "nesterov": True},
    "teacher": {"distill_weight": 0.5},
    "colour": {"channels": 3, **UNEVEN},
    "channels last": {"channels": 3, "channels_last": True, "ema_decay": 0.9},
    "apart": {"method": "samson"},
    "apart in bfloat16": {"method": "samson", "bf16": True, "channels_last": True, "ema_decay": 0.9},
    "apart in part": {"method": "samson", "ascent_fraction": 0.4},
}
OTHERS: dict[str, dict[str, Any]] = {"batch-norm": {"method": "samson"}, "one step": {"epochs": 1}}
SAME = [name for name in CASES if not name.startswith("apart")]


def command_for(data: Path) -> tuple[str, ...]:
    """Arguments of `analog-samson train`; the images come from a file, for the digits take a second to import."""
    return (
        *("--model", "digits_cnn", "--data", f"npz:{data}", "--threads", "1"),
        *("--method", "samson", "--batch-size", "32", "--lr", "0.05"),
    )


def write_images(path: Path) -> None:
    data = made_set(100)
    np.savez(path, images=data.images[:, 0].numpy(), labels=data.labels.numpy())


def plain_network(channels: int = 1, seed: int = 0) -> nn.Module:
    """A network without batch-norm."""
    with rng.stream(seed, "initial weights"):
        return nn.Sequential(
            *(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(128, 10)),
        )


def numbers(model: nn.Module, result: Any) -> dict[str, Any]:
    """What a training gave, but for the seconds it took."""
    history = [replace(record, seconds=0.0).row() for record in result.history]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return {
        "weights": weights,
        "history": history,
        "evaluation": result.evaluation,
        "share": result.perturbation_breakdown,
    }


def run_case(
    name: str, *, model: nn.Module | None = None, data: ImageSet | None = None, **arguments: Any
) -> dict[str, Any]:
    """Three epochs on 47 images with the options of a case; `arguments` go to `fit`."""
    options = {"seed": 0, "epochs": 3, "batch_size": 16, "learning_rate": 0.05} | (CASES | OTHERS)[name]
    channels = options.pop("channels", 1)
    model = plain_network(channels) if model is None else model
    data = made_set(47, channels=channels) if data is None else data
    if "distill_weight" in options:
        arguments["teacher"] = Teacher(model=network(3).eval(), normalization=NORMALIZATIONS["digits"])
    test = made_set(21, seed=1, channels=channels)
    return numbers(model, fit(model, data, test, TrainOptions(**options), **arguments))


class Failing(nn.Module):
    """Gives an infinite loss in the third training pass of one process."""

    def __init__(self, here: bool) -> None:
        super().__init__()
        self.net, self.here, self.passes = plain_network(), here, 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += self.training
        return self.net(x) * (float("inf") if self.here and self.training and self.passes == 3 else 1.0)


class Unused(nn.Module):
    """Has weights that are no part of its output."""

    def __init__(self) -> None:
        super().__init__()
        self.net = plain_network()
        with rng.stream(0, "initial weights"):
            self.spare = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def mistake(function: Callable[[], object]) -> str:
    try:
        function()
    except AnalogSamsonError as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def only_in_process_1(context: DistributedContext) -> None:
    if context.rank == 1:
        raise DataError("the images are not there")


def mistakes(context: DistributedContext, folder: Path) -> dict[str, str]:
    """What is raised in this process, in order."""

    def other_data() -> object:
        return run_case("sgd", context=context, data=made_set(47, seed=context.rank))

    return {
        "together": mistake(lambda: context.on_every_process(lambda: only_in_process_1(context))),
        "other data": mistake(other_data),
        "folder of one": mistake(lambda: run_case("sgd", context=context, folder=folder / "one")),
        "other files": mistake(lambda: run_case("sgd", context=context, folder=folder / "foreign")),
        "loss": mistake(lambda: run_case("sgd", context=context, model=Failing(context.rank == 1))),
        "loss of a climb": mistake(lambda: run_case("apart", context=context, model=Failing(context.rank == 1))),
        "unused": mistake(lambda: run_case("sgd", context=context, model=Unused())),
        "few images": mistake(lambda: run_case("sgd", context=DistributedContext(rank=context.rank, size=9))),
    }


def exchanges(name: str, context: DistributedContext) -> int:
    """Sums over the processes that a training of 3 epochs of 3 batches asks for."""
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
        run_case(name, context=context, data=made_set(48))
    return sum(event.count for event in seen.key_averages() if event.key == "gloo:all_reduce")


def command(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and error output of the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    return code, out.getvalue(), err.getvalue()


def work(context: DistributedContext, folder: Path) -> dict[str, Any]:
    """Everything in turn; each process is told a folder of its own where it matters who writes."""
    own = folder / f"process {context.rank}"
    steps: list[int] = []
    found: dict[str, Any] = {name: run_case(name, context=context) for name in CASES}
    found["batch-norm"] = run_case("batch-norm", context=context, model=network())
    found["written"] = run_case("average", context=context, folder=own, progress=lambda now: steps.append(now.step))
    found["one step"] = run_case("one step", context=context, model=network(), data=made_set(16))
    found["few test images"] = fit(
        plain_network(), made_set(20), made_set(1), TrainOptions(seed=0, epochs=1), context=context
    ).evaluation
    found["steps told"] = steps
    found["mistakes"] = mistakes(context, folder)
    found["exchanges"] = {name: exchanges(name, context) for name in ("sgd", "apart", "samson")}
    found["mistyped"] = command("train", "--method", "sgd", "--rho", "1", "--model", "digits_cnn", "--out", str(own))
    found["usage"] = command("train", "--no-such-option")
    images = folder / "images.npz"
    together = ("--epochs", "1", "--ascent-sync", "--out", str(folder / "command"))
    found["command"] = command("train", *command_for(images), *together)
    options = {"method": "samson", "batch_size": 32, "learning_rate": 0.05, "epochs": EPOCHS}
    job = TrainJob(data=f"npz:{images}", seed=0, model="digits_cnn", threads=1, **options)
    prepare_training(job, context).run(folder / "whole")
    return found


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, before = Path(sys.argv[1]), threads()
    with joined_processes() as joined:
        group = threads() - before
        torch.save(work(joined, place), place / f"found {joined.rank}.pt")
    left = {"context": asdict(joined), "of the group": group, "at the end": threads() - before}
    (place / f"left {joined.rank}.json").write_text(json.dumps(left))
