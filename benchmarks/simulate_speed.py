"""How much slower than the digital network is a simulated chip? Ratios of forward times, measured side by side.

    python benchmarks/simulate_speed.py --network resnet20 --threads 1 --rounds 9
    python benchmarks/simulate_speed.py --network resnet18 --threads 2 --rounds 5
    python benchmarks/simulate_speed.py --network bert    (or gpt, lstm)

One process; the forwards take turns, so a busy moment of the machine hits all of them; each fast one runs twice, the
second time measured, as in a simulation one forward follows another; reported are medians of each forward's time over
that of the eager float32 NCHW digital network in the same round. Networks: ResNet-20 at 32 x 32,
batch 250; torchvision's ResNet-18 at 224 x 224, batch 16 (random weights and images: speed does not depend on them).
A BERT- and a GPT-shaped network (4 layers of width 512, 4 sequences of 128 tokens) and an LSTM (256 units, 32 sequences
of 64 steps) run as they come, beside no forwards of aihwkit. Three hardwares: weight noise alone
(pcm_nandakumar_2019), 8-bit converters with a static range and output noise (pcm_rasch_2023 without read noise, IR drop
and row limit), and all of pcm_rasch_2023.
Batch norm is folded into our layers as `simulate` does it. Freed memory is kept, as in every command of
this project; with --plain-malloc it is not: then glibc gives it back and page faults slow all forwards, the digital one
most, and aihwkit's large blocks, after which glibc keeps more, change that within a process. So both are measured, with
aihwkit's own forwards and (--no-aihwkit, `_alone`) without. bfloat16 is left out where the CPU only emulates it. With
one thread a forward's time is the processor time of the process, which other processes disturb less. Writes
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
IMAGES = {"resnet20": ("resnet20", (250, 3, 32, 32)), "resnet18": ("torchvision:resnet18", (16, 3, 224, 224))}
SEQUENCES: dict[str, tuple[int, ...]] = {"bert": (4, 128), "gpt": (4, 128), "lstm": (32, 64, 256)}
TOKENS = 16384
DAY = 86400.0
REFERENCE = ("digital", "fp32 NCHW")


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


def sequence_network(name: str) -> tuple[nn.Module, Tensor]:
    """A network of `SEQUENCES` with random weights, and its input."""
    shape = SEQUENCES[name]
    if name == "lstm":
        return nn.LSTM(shape[-1], 256, batch_first=True), torch.randn(shape)
    import transformers

    if name == "bert":
        config = transformers.BertConfig(
            vocab_size=TOKENS, num_hidden_layers=4, hidden_size=512, num_attention_heads=8, intermediate_size=2048
        )
        return transformers.BertModel(config, add_pooling_layer=False), torch.randint(TOKENS, shape)
    config = transformers.GPT2Config(vocab_size=TOKENS, n_layer=4, n_embd=512, n_head=8, use_cache=False)
    return transformers.GPT2LMHeadModel(config), torch.randint(TOKENS, shape)


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


def sequence_contenders(model: nn.Module, x: Tensor) -> dict[tuple[str, str], Callable[[], Tensor]]:
    """Forwards by (hardware, implementation); input ranges do not matter for speed."""
    runs = {REFERENCE: run_on(model, x)}
    for name, preset in hardware().items():
        ours = mount(model, plan_conversion(model, preset, example=(x[:1],)))
        aged(ours.network)
        runs[name, "analog-samson fp32"] = run_on(ours.network, x)
    return runs


def contenders(model: nn.Module, x: Tensor, *, aihwkit: bool) -> dict[tuple[str, str], Callable[[], Tensor]]:
    """Forwards by (hardware, implementation)."""
    last = x.to(memory_format=torch.channels_last)
    digital = copy.deepcopy(model).to(memory_format=torch.channels_last)
    runs = {
        REFERENCE: run_on(model, x),
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


def measure(runs: dict[Any, Callable[[], Tensor]], rounds: int, clock: Callable[[], float]) -> dict[Any, list[float]]:
    """Seconds of every forward in every round; one round to warm up."""
    seconds: dict[Any, list[float]] = {key: [] for key in runs}
    for turn in range(rounds + 1):
        for key, forward in runs.items():
            slow = turn > 0 and len(seconds[key]) > 0 and seconds[key][0] > 8 * seconds[REFERENCE][0]
            if slow and turn > 3:
                continue  # three rounds are enough for what takes very long
            if not slow:
                forward()  # the one before may have taken the memory that this one has in use
            begin = clock()
            forward()
            if turn:
                seconds[key].append(clock() - begin)
    return seconds


def summary(seconds: dict[Any, list[float]]) -> list[dict[str, Any]]:
    digital = seconds[REFERENCE]
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
    parser.add_argument("--network", choices=[*IMAGES, *SEQUENCES], default="resnet20")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-aihwkit", action="store_true", help="leave out aihwkit's own forwards, which take long")
    parser.add_argument("--plain-malloc", action="store_true", help="leave freed memory to glibc")
    options = parser.parse_args()
    kept = not options.plain_malloc and keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    alone = options.no_aihwkit or options.network in SEQUENCES
    if options.network in SEQUENCES:
        model, x = sequence_network(options.network)
        runs = sequence_contenders(model.eval().requires_grad_(False), x)
    else:
        name, shape = IMAGES[options.network]
        model, x = build_model(name).eval(), torch.randn(shape)
        runs = contenders(model, x, aihwkit=not alone)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    rows = summary(measure(runs, options.rounds, clock))
    report = {
        "benchmark": "simulate_speed",
        "network": options.network,
        "shape": list(x.shape),
        "threads": options.threads,
        "clock": clock.__name__,
        "aihwkit_beside": not alone,
        "freed_memory_kept": kept,
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "processor": platform.processor() or platform.machine(),
        "rows": rows,
    }
    RESULTS.mkdir(exist_ok=True)
    beside, plain = "_alone" if alone else "", "" if kept else "_plain"
    cpu = torch.backends.cpu.get_cpu_capability()
    path = RESULTS / f"simulate_speed_{options.network}_{options.threads}thread_{cpu.lower()}{beside}{plain}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    for row in rows:
        print(f"{row['hardware']:32s}{row['implementation']:24s}{row['median_ratio']:8.2f}  n = {row['rounds']}")
    print(path)


if __name__ == "__main__":
    main()
