"""Would torch.compile make the passes of a network faster?

    python benchmarks/compiled_passes.py --rounds 15

ResNet-20 at 32 x 32 on one CPU thread, channels_last, float32: the evaluation forward with folded batch norm (batch
250), and a training pass forward and backward (batch 128), each eager and compiled by torch's inductor, in turns in one
process. Reported: medians of each pass's time over that of the eager one in the same round, and the seconds that the
first compiled call takes. Needs a C++ compiler. Writes results/compiled_passes.json.
"""

import argparse
import copy
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch._inductor.config
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse
from torch.nn.functional import cross_entropy

from analog_samson.models.build import build_model
from analog_samson.runtime.allocation import keep_freed_memory

RESULTS = Path(__file__).parent / "results"


def images(count: int) -> Tensor:
    return torch.randn(count, 3, 32, 32).to(memory_format=torch.channels_last)


def evaluation(model: nn.Module) -> tuple[Callable[[], object], Callable[[], object]]:
    """The digital forward with folded batch norm, eager and compiled."""
    eager = fuse(copy.deepcopy(model).eval())
    compiled, x = torch.compile(eager), images(250)

    def forward(network: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.no_grad():
            return network(x)

    return lambda: forward(eager), lambda: forward(compiled)


def training(model: nn.Module) -> tuple[Callable[[], object], Callable[[], object]]:
    """One of the passes of a training step, eager and compiled."""
    eager = copy.deepcopy(model).train()
    compiled, x, labels = torch.compile(copy.deepcopy(eager)), images(128), torch.randint(10, (128,))

    def both_ways(network: Callable[[Tensor], Tensor]) -> None:
        cross_entropy(network(x), labels).backward()

    return lambda: both_ways(eager), lambda: both_ways(compiled)


def timed(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return time.process_time() - begin


def measure(name: str, eager: Callable[[], object], compiled: Callable[[], object], rounds: int) -> dict[str, object]:
    eager()
    begin = time.perf_counter()
    compiled()
    first = time.perf_counter() - begin
    pairs = [(timed(eager), timed(compiled)) for _ in range(rounds)]
    return {
        "passes": name,
        "eager_seconds": round(statistics.median(one for one, _ in pairs), 4),
        "compiled_seconds": round(statistics.median(two for _, two in pairs), 4),
        "median_ratio": round(statistics.median(two / one for one, two in pairs), 3),
        "first_call_seconds": round(first, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch._inductor.config.force_disable_caches = True  # the first call compiles, whatever ran before
    keep_freed_memory()
    model = build_model("resnet20").to(memory_format=torch.channels_last)
    cases = {"evaluation forward": evaluation, "training pass, forward and backward": training}
    report = {
        "benchmark": "compiled_passes",
        "network": "resnet20",
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "torch": torch.__version__,
        "threads": 1,
        "rounds": rounds,
        "rows": [measure(name, *case(model), rounds) for name, case in cases.items()],
    }
    (RESULTS / "compiled_passes.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
