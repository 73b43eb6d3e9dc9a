"""How much slower than the digital network is a simulated chip? Ratios of forward times, measured side by side.

    python benchmarks/simulate_speed.py --network resnet20 --threads 1 --rounds 9
    python benchmarks/simulate_speed.py --network resnet18 --threads 2 --rounds 5

One process; the forwards take turns, so a busy moment of the machine hits all of them; each fast one runs twice, the
second time measured, as in a simulation one forward follows another; reported are medians of each forward's time over
that of the eager float32 NCHW digital network in the same round. Networks: ResNet-20 at 32 x 32,
batch 250; torchvision's ResNet-18 at 224 x 224, batch 16 (random weights and images: speed does not depend on them).
Three hardwares: weight noise alone (pcm_nandakumar_2019), 8-bit converters with a static range and output noise
(pcm_rasch_2023 without read noise, IR drop and row limit), and all of pcm_rasch_2023. Batch norm is folded into our
layers as `simulate` does it. Freed memory is kept, as in every command of this project; with --plain-malloc it is not:
then glibc gives it back and page faults slow all forwards, the digital one most, and aihwkit's large blocks, after
which glibc keeps more, change that within a process. So both are told, with aihwkit's own forwards and (--no-aihwkit,
`_alone`) without. bfloat16 is left out where the CPU only emulates it. Writes
results/simulate_speed_NETWORK_THREADSthread_CPU[_alone][_plain].json, CPU as torch names its vector instructions;
`python benchmarks/table.py` renders the tables of the README.
"""

import argparse
import copy
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import TorchInferenceRPUConfig
from torch import Tensor, nn

from analog_samson.chip.convert import convert, mount
from analog_samson.chip.fold import Pairs, foldable, folded
from analog_samson.chip.network import CrossbarNetwork
from analog_samson.chip.rpu import rpu_config
from analog_samson.crossbar.plan import plan_conversion
from analog_samson.models.build import build_model
from analog_samson.presets.schema import Preset
from analog_samson.presets.search import load_preset
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.runtime.devices import bfloat16_is_emulated

RESULTS = Path(__file__).parent / "results"
NETWORKS = {"resnet20": ("resnet20", (250, 3, 32, 32)), "resnet18": ("torchvision:resnet18", (16, 3, 224, 224))}
DAY = 86400.0


def hardware() -> dict[str, Preset]:
    """The three hardwares by name."""
    pcm, rasch = load_preset("pcm_nandakumar_2019"), load_preset("pcm_rasch_2023")
    static = rasch.model_copy(
        update={
            "periphery": rasch.periphery.model_copy(
                update={"read_noise_kind": "none", "read_noise": 0.0, "ir_drop": 0.0}
            ),
            "tile": rasch.tile.model_copy(update={"max_rows": 0}),
        }
    )
    return {"weight noise only": pcm, "8-bit static IO + output noise": static, "pcm_rasch_2023": rasch}


def aged(analog: Any) -> Any:
    """An analog model, programmed and drifted for a day."""
    analog.eval().program_analog_weights()
    analog.drift_analog_weights(DAY)
    return analog


def run_on(
    model: nn.Module | CrossbarNetwork, x: Tensor, *, bf16: bool = False, pairs: Pairs = MappingProxyType({})
) -> Callable[[], Tensor]:
    """A forward of a network, of one on tiles with the batch norm of `pairs` folded."""

    def forward() -> Tensor:
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            network = model
            if isinstance(model, CrossbarNetwork):
                stack.enter_context(folded(model, pairs))
                network = model.network
            stack.enter_context(torch.autocast("cpu", torch.bfloat16, enabled=bf16))
            return network(x)

    return forward


def torch_tile_model(model: nn.Module, preset: Preset) -> nn.Module | None:
    """aihwkit's own conversion on its torch tile; None where that tile refuses the options."""
    config = rpu_config(preset)
    own = TorchInferenceRPUConfig(
        forward=config.forward,
        mapping=config.mapping,
        pre_post=config.pre_post,
        noise_model=config.noise_model,
        drift_compensation=config.drift_compensation,
    )
    try:
        return aged(convert_to_analog(model, own))
    except Exception as refusal:
        print(f"aihwkit torch tile: {refusal}", file=sys.stderr)
        return None


def contenders(model: nn.Module, x: Tensor, *, aihwkit: bool) -> dict[tuple[str, str], Callable[[], Tensor]]:
    """Forwards by (hardware, implementation)."""
    last = x.to(memory_format=torch.channels_last)
    digital = copy.deepcopy(model).to(memory_format=torch.channels_last)
    runs = {
        ("digital", "fp32 NCHW"): run_on(model, x),
        ("digital", "fp32 channels_last"): run_on(digital, last),
    }
    bf16 = not bfloat16_is_emulated(torch.device("cpu"))
    if bf16:
        runs["digital", "bf16 channels_last"] = run_on(digital, last, bf16=True)
    pairs = foldable(model, x[:1])
    for name, preset in hardware().items():
        ours = mount(model, plan_conversion(model, preset))
        aged(ours.network)
        assert isinstance(ours, CrossbarNetwork)
        runs[name, "analog-samson fp32"] = run_on(ours, last, pairs=pairs)
        if bf16 and preset.periphery.model == "perfect":
            runs[name, "analog-samson bf16"] = run_on(ours, last, bf16=True, pairs=pairs)
        if aihwkit:
            runs[name, "aihwkit compiled tile"] = run_on(aged(convert(model, preset, engine="aihwkit")), x)
            torch_tile = torch_tile_model(model, preset)
            if torch_tile is not None:
                runs[name, "aihwkit torch tile"] = run_on(torch_tile, x)
    return runs


def measure(runs: dict[Any, Callable[[], Tensor]], rounds: int) -> dict[Any, list[float]]:
    """Seconds of every forward in every round; one round to warm up."""
    seconds: dict[Any, list[float]] = {key: [] for key in runs}
    for turn in range(rounds + 1):
        for key, forward in runs.items():
            slow = turn > 0 and len(seconds[key]) > 0 and seconds[key][0] > 8 * seconds["digital", "fp32 NCHW"][0]
            if slow and turn > 3:
                continue  # three rounds are enough for what takes very long
            if not slow:
                forward()  # the one before may have taken the memory that this one has in use
            begin = time.perf_counter()
            forward()
            if turn:
                seconds[key].append(time.perf_counter() - begin)
    return seconds


def summary(seconds: dict[Any, list[float]]) -> list[dict[str, Any]]:
    digital = seconds["digital", "fp32 NCHW"]
    rows = []
    for (name, implementation), times in seconds.items():
        ratios = [t / d for t, d in zip(times, digital, strict=False)]
        rows.append(
            {
                "hardware": name,
                "implementation": implementation,
                "median_ratio": round(statistics.median(ratios), 3),
                "median_seconds": round(statistics.median(times), 4),
                "rounds": len(times),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, default="resnet20")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-aihwkit", action="store_true", help="leave out aihwkit's own forwards, which take long")
    parser.add_argument("--plain-malloc", action="store_true", help="leave freed memory to glibc")
    options = parser.parse_args()
    kept = not options.plain_malloc and keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    name, shape = NETWORKS[options.network]
    model, x = build_model(name).eval(), torch.randn(shape)
    rows = summary(measure(contenders(model, x, aihwkit=not options.no_aihwkit), options.rounds))
    report = {
        "benchmark": "simulate_speed",
        "network": options.network,
        "shape": shape,
        "threads": options.threads,
        "aihwkit_beside": not options.no_aihwkit,
        "freed_memory_kept": kept,
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "processor": platform.processor() or platform.machine(),
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    alone, plain = "_alone" if options.no_aihwkit else "", "" if kept else "_plain"
    cpu = torch.backends.cpu.get_cpu_capability()
    path = RESULTS / f"simulate_speed_{options.network}_{options.threads}thread_{cpu.lower()}{alone}{plain}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    for row in rows:
        print(f"{row['hardware']:32s}{row['implementation']:24s}{row['median_ratio']:8.2f}  n = {row['rounds']}")
    print(path)


if __name__ == "__main__":
    main()
