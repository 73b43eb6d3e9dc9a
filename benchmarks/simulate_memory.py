"""How much memory does the simulation of a large network take?

    python benchmarks/simulate_memory.py --network torchvision:resnet50 --batch 32
    python benchmarks/simulate_memory.py --network gpt --batch 4

For each hardware a process of its own converts the network (random weights; memory does not depend on them), programs
one chip, lets it drift, and evaluates one batch of 224 x 224 images, once as the process comes and once with freed
memory kept, as the commands do. Told is the peak of the process, and that of the digital network beside it. The goal
of this project is 8 GiB for ResNet-50 at batch 32. "gpt" is a GPT-2 of 12 layers of width 768 with 16,384 tokens,
98 million weights, on sequences of 64 tokens: what it takes beyond the program and the digital forward should be at
most twice its weights. Each process simulates a tiny network of the same kind first, so that all code is loaded.
Writes results/simulate_memory.json or simulate_memory_gpt.json.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
HARDWARE = ("digital", "pcm_nandakumar_2019", "pcm_rasch_2023")


def measure(network: str, batch: int, hardware: str, kept: bool) -> dict[str, Any]:
    """Runs in a process of its own: the peak resident memory [GiB] of one evaluation."""
    import torch

    from analog_samson import rng
    from analog_samson.models.build import build_model
    from analog_samson.presets import load_preset
    from analog_samson.runtime.allocation import keep_freed_memory
    from analog_samson.simulation.drift import simulate_drift
    from analog_samson.tasks.evaluation import evaluate

    kept = kept and keep_freed_memory()
    torch.set_num_threads(2)
    with rng.stream(0, "images"):
        model, x = build_model(network).eval(), torch.randn(batch, 3, 224, 224)
    data = [(x.to(memory_format=torch.channels_last), torch.zeros(batch, dtype=torch.long))]
    before = _peak_gib()
    if hardware == "digital":
        evaluate(model, data)
    else:
        few = [(data[0][0][:2], data[0][1][:2])]
        simulate_drift(model, load_preset(hardware), data, times=[86400.0], instances=1, seed=0, calibration=few)
    return {"hardware": hardware, "freed_memory_kept": kept, "loaded_gib": before, "peak_gib": _peak_gib()}


def measure_gpt(batch: int, hardware: str, kept: bool) -> dict[str, Any]:
    """The same for a language model; loaded: before the model is built."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from analog_samson import rng
    from analog_samson.presets import load_preset
    from analog_samson.runtime.allocation import keep_freed_memory
    from analog_samson.simulation.drift import simulate_drift
    from analog_samson.tasks.scoring import score
    from analog_samson.tasks.text import LanguageModeling

    kept = kept and keep_freed_memory()
    torch.set_num_threads(1)

    def run(config: GPT2Config) -> int:
        """Build and evaluate a model; returns the bytes of its weights."""
        with rng.stream(0, "model"):
            model = GPT2LMHeadModel(config).eval()
            ids = torch.randint(config.vocab_size, (batch, 64))
        data, task = [{"input_ids": ids, "labels": ids}], LanguageModeling()
        if hardware == "digital":
            score(model, data, task)
        else:
            once: dict[str, Any] = {"times": [86400.0], "instances": 1, "seed": 0, "calibration": data}
            simulate_drift(model, load_preset(hardware), data, task=task, **once)
        return sum(parameter.nbytes for parameter in model.parameters())

    run(GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=512))
    before = _resident_gib()
    weights = run(GPT2Config(vocab_size=16384))
    told = {"hardware": hardware, "freed_memory_kept": kept, "loaded_gib": before, "peak_gib": _peak_gib()}
    return told | {"weights_gib": round(weights / 2**30, 3)}


def _resident_gib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * resource.getpagesize() / 2**30, 2)


def _peak_gib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="torchvision:resnet50")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--one", choices=HARDWARE, help=argparse.SUPPRESS)
    parser.add_argument("--kept", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        if options.network == "gpt":
            print(json.dumps(measure_gpt(options.batch, options.one, options.kept)))
        else:
            print(json.dumps(measure(options.network, options.batch, options.one, options.kept)))
        return
    rows = []
    for hardware in HARDWARE:
        for kept in (["--kept"],) if options.network == "gpt" else ([], ["--kept"]):
            command = [sys.executable, __file__, "--network", options.network, "--batch", str(options.batch)]
            told = subprocess.run([*command, "--one", hardware, *kept], check=True, capture_output=True, text=True)
            rows.append(json.loads(told.stdout.splitlines()[-1]))
            print(rows[-1], flush=True)
    report = {"benchmark": "simulate_memory", "network": options.network, "batch": options.batch, "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    name = "simulate_memory_gpt" if options.network == "gpt" else "simulate_memory"
    (RESULTS / f"{name}.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
