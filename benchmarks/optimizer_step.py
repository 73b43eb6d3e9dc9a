"""How much does a sharpness-aware step cost beyond the two forward and backward passes that it cannot avoid?

    pip install --no-deps --target /tmp/peers pytorch_optimizer==4.1.0 temperon==0.1.1
    python benchmarks/optimizer_step.py --peers /tmp/peers                  (without --peers: this project only)
    python benchmarks/optimizer_step.py --cases resnet18:224:128 --rounds 2 --no-warm-up --only SAMSON

One process; in a round all contenders take one step each, in random order, each on its own copy of the network. Told
are the median over rounds of step / (two bare forward-backward passes + SGD step) of the same round, and the
optimizer's own time without passes. Writes results/optimizer_step.json, case by case; `python benchmarks/table.py`
renders the README.

Reached on one thread of an AMD EPYC (2 cores, 32 MiB L3, shared with other work, processor time), torch 2.10.0,
torchvision's ResNet-18, SAMSON / ASAM / SAM / pytorch_optimizer ASAM / SAM / temperon SAM:
    224 x 224, batch 16, n = 9      1.02 / 1.00 / 1.00 / 1.01 / 1.01 / 1.00, each within 0.07 of 1
    224 x 224, batch 128, n = 2     1.006 (SAMSON alone was measured)
    32 x 32, batch 128, n = 7       1.04 / 1.04 / 1.04 / 1.06 / 1.03 / 1.01
    32 x 32, batch 16, n = 15       1.23 / 1.22 / 1.14 / 1.24 / 1.16 / 1.10
    the optimizer alone, n = 15     22 / 21 / 13 / 22 / 14 / 9 ms
"""

import argparse
import importlib
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from analog_samson.models.build import build_model
from analog_samson.sharpness.optimizers import ASAM, SAM, SAMSON
from analog_samson.sharpness.selection import crossbar_weights

RESULT = Path(__file__).parent / "results" / "optimizer_step.json"
REFERENCE = "two passes + SGD"
SGD = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 5e-4}
CASES = ("resnet18:32:16", "resnet18:32:128", "resnet18:224:16")
ALONE_ROUNDS = 15
Closure = Callable[[], Any]
Step = Callable[[Closure], Any]
Maker = Callable[[nn.Module], Step]


@dataclass(frozen=True)
class Case:
    """A network, the side of its square input in pixels, and the images of a batch."""

    model: str
    pixels: int
    batch: int

    @classmethod
    def parse(cls, text: str) -> "Case":
        model, pixels, batch = text.split(":")
        return cls(model, int(pixels), int(batch))

    def build(self) -> nn.Module:
        torch.manual_seed(0)  # every contender starts from the same weights
        if self.model == "resnet18":
            return torchvision.models.resnet18(num_classes=10)
        return build_model(self.model, num_classes=10, in_channels=3)


def bare(model: nn.Module) -> Step:
    """What no sharpness-aware step can do without: two passes and the update. It climbs nowhere."""
    optimizer = torch.optim.SGD(model.parameters(), **SGD)

    def step(closure: Closure) -> None:
        closure()
        closure()
        optimizer.step()

    return step


def ours(kind: type, **options: Any) -> Maker:
    return lambda model: kind(model, torch.optim.SGD, **options, **SGD).step


def outside_sam(module: Any, **options: Any) -> Maker:
    """pytorch_optimizer: the first gradients come from the caller, the closure is for the second."""

    def make(model: nn.Module) -> Step:
        optimizer = module.SAM(model.parameters(), torch.optim.SGD, **options, **SGD)

        def step(closure: Closure) -> None:
            closure()
            optimizer.step(closure)

        return step

    return make


def outside_tail(module: Any) -> Maker:
    """temperon: plain SAM in every step, if the tail is all of the training."""
    return lambda model: (
        module.Temperon(torch.optim.SGD(model.parameters(), **SGD), total_steps=10**9, tail_frac=1.0).step
    )


def contenders(peers: Sequence[Path]) -> dict[str, Maker]:
    """Who is measured, the reference first. Packages that are not there are left out, with a line that says so."""
    found: dict[str, Maker] = {
        REFERENCE: bare,
        "SAMSON": ours(SAMSON),
        "SAMSON, all tensors": ours(SAMSON, selection="paper"),
        "ASAM": ours(ASAM),
        "SAM": ours(SAM),
    }
    sys.path += map(str, peers)
    for name, makers in PEERS.items():
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            print(f"left out: {name} ({error}); give its folder with --peers", file=sys.stderr)
            continue
        found |= {f"{name} {title}": make(module) for title, make in makers.items()}
    return found


PEERS: dict[str, dict[str, Callable[[Any], Maker]]] = {
    "pytorch_optimizer": {
        "ASAM": lambda module: outside_sam(module, rho=0.5, adaptive=True),
        "ASAM, foreach": lambda module: outside_sam(module, rho=0.5, adaptive=True, foreach=True),
        "SAM": lambda module: outside_sam(module, rho=0.05),
        "SAM, foreach": lambda module: outside_sam(module, rho=0.05, foreach=True),
    },
    "temperon": {"SAM": outside_tail},
}


class Contender:
    """One optimizer on a model of its own, with the batch that all of them see."""

    def __init__(self, case: Case, make: Maker, x: Tensor, y: Tensor) -> None:
        self._model = case.build().train()
        self._parameters = list(self._model.parameters())
        self._step = make(self._model)
        self._batch = x, y
        self._passes()
        self._gradients = [parameter.grad for parameter in self._parameters]

    def whole(self) -> float:
        """Seconds of one step with both passes."""
        return _seconds(lambda: self._step(self._passes))

    def alone(self) -> float:
        """Seconds of one step whose passes cost nothing: their gradients are handed over ready-made."""
        self._hand_over()
        return _seconds(lambda: self._step(self._hand_over))

    def _passes(self) -> None:
        x, y = self._batch
        for parameter in self._parameters:
            parameter.grad = None
        nn.functional.cross_entropy(self._model(x), y).backward()

    def _hand_over(self) -> None:
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient


def clock() -> Callable[[], float]:
    """With one thread the processor's own time, which other programs on the machine disturb least; else the wall's."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def _seconds(work: Callable[[], Any]) -> float:
    now = clock()
    start = now()
    work()
    return now() - start


def measure(case: Case, makers: dict[str, Maker], rounds: int, warm_up: bool) -> dict[str, dict[str, list[float]]]:
    """Seconds of every contender, `whole` and `alone`, round by round; in a round all take turns, shuffled."""
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(case.batch, 3, case.pixels, case.pixels, generator=draws)
    y = torch.randint(10, (case.batch,), generator=draws)
    field = {name: Contender(case, make, x, y) for name, make in makers.items()}
    seconds: dict[str, dict[str, list[float]]] = {name: {"whole": [], "alone": []} for name in field}
    turns = random.Random(0)
    for contender in field.values():
        contender.alone()
        if warm_up:
            contender.whole()
    for kind, times in (("alone", max(rounds, ALONE_ROUNDS)), ("whole", rounds)):
        for _ in range(times):
            for name in turns.sample(list(field), len(field)):
                seconds[name][kind].append(getattr(field[name], kind)())
    return seconds


def summary(seconds: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """One row for each contender; a ratio is the median over rounds of step / reference step of the same round."""
    reference = seconds[REFERENCE]
    rows = []
    for name, found in seconds.items():
        ratios = [mine / theirs for mine, theirs in zip(found["whole"], reference["whole"], strict=True)]
        alone = statistics.median(found["alone"]) - statistics.median(reference["alone"])
        rows.append(
            {
                "contender": name,
                "step_seconds": statistics.median(found["whole"]),
                "ratio": statistics.median(ratios),
                "ratio_lowest": min(ratios),
                "ratio_highest": max(ratios),
                "climb_seconds": alone,
                "raw": found,
            }
        )
    return rows


def roofline(case: Case) -> dict[str, float]:
    """Bytes that have to move at least, and how fast this machine moves them.

    Climb: norms read w, g; the climb reads w, g and writes w and its copy; coming back reads the copy and writes w; the
    check reads g. Passes: each reads w twice and writes g; each activation is written and read going forward, and read
    again, with its gradient written and read, coming back.
    """
    model = case.build()
    moved = sum(weight.nbytes for weight in crossbar_weights(model).values())
    every = sum(parameter.nbytes for parameter in model.parameters())
    activations = _activation_bytes(model, case) * case.batch
    return {
        "parameter_bytes": every,
        "climb_bytes": 8 * moved + every,
        "passes_bytes": 2 * (3 * every + 5 * activations),
        "bytes_a_second": _bandwidth(),
    }


def _activation_bytes(model: nn.Module, case: Case) -> int:
    """Bytes of all layer outputs of one image."""
    sizes: list[int] = []
    leaves = [module for module in model.modules() if not list(module.children())]
    hooks = [leaf.register_forward_hook(lambda _, __, output: sizes.append(output.nbytes)) for leaf in leaves]
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, case.pixels, case.pixels))
    for hook in hooks:
        hook.remove()
    return sum(sizes)


def _bandwidth() -> float:
    """Bytes a second of a copy that no cache holds, read and written counted; the best of 7."""
    source, target = torch.zeros(2**26), torch.zeros(2**26)
    return 2 * source.nbytes / min(_seconds(lambda: target.copy_(source)) for _ in range(7))


def environment(threads: int) -> dict[str, Any]:
    found: dict[str, Any] = {"python": platform.python_version(), "threads": threads, "processor": _processor()}
    for package in ("analog-samson", "torch", "torchvision", *PEERS):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def store(path: Path, cases: Sequence[dict[str, Any]]) -> None:
    """Put the cases into the result file; those of the same name there are replaced."""
    kept = json.loads(path.read_text())["cases"] if path.exists() else []
    mine = {case["case"] for case in cases}
    document = {
        "schema": 1,
        "benchmark": "optimizer_step",
        "reference": REFERENCE,
        "cases": [case for case in kept if case["case"] not in mine] + list(cases),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")


def run(text: str, makers: dict[str, Maker], options: argparse.Namespace) -> dict[str, Any]:
    case = Case.parse(text)
    started = time.perf_counter()
    rows = summary(measure(case, makers, options.rounds, options.warm_up))
    print(f"{text}, {options.rounds} rounds, {time.perf_counter() - started:.0f} s")
    for row in rows:
        print(
            f"  {row['contender']:34s} {1e3 * row['step_seconds']:9.1f} ms  x {row['ratio']:.3f} "
            f"({row['ratio_lowest']:.3f} to {row['ratio_highest']:.3f})  climb {1e3 * row['climb_seconds']:7.2f} ms"
        )
    return {
        "case": text,
        "rounds": options.rounds,
        "clock": clock().__name__,
        "environment": environment(options.threads),
        "roofline": roofline(case),
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), metavar="MODEL:PIXELS:BATCH")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", type=Path, nargs="*", default=[], metavar="DIR", help="where wrappers are installed")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="contenders by name; the reference is always there")
    parser.add_argument("--no-warm-up", dest="warm_up", action="store_false", help="for cases of many seconds a step")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    makers = contenders(options.peers)
    if options.only is not None:
        makers = {name: make for name, make in makers.items() if name in (REFERENCE, *options.only)}
    store(options.out, [run(text, makers, options) for text in options.cases])


if __name__ == "__main__":
    main()
