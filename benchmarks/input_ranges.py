"""What do input ranges of converters cost, by the way that they are chosen?

    python benchmarks/input_ranges.py --shared ../shared --images npz:cifar10_train.npz

Two networks on pcm_rasch_2023 (8-bit converters, output and read noise, IR drop), with the range of each layer's inputs
from: the preset's multiple of the standard deviation (std), the largest input seen (maximum), the 99.9th percentile of
the absolute inputs (percentile_99_9), the smallest error of the layer's output (output_error, the default).

- zoo:resnet32_soup_cifar10 with AdaBS on 1,000 training images (--images; the ranges come from these too), on the first
  1,000 test images;
- KWT-1, a keyword transformer, on 720 clips; the ranges come from every fourth clip. With all layers on tiles, and with
  the input layer `project` digital.

Two chips, accuracy [%] after one day and one year. A network whose files are missing is skipped. Writes
results/input_ranges.json.
"""

import argparse
import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson import load_preset, simulate_drift
from analog_samson.chip.input_range import InputRange
from analog_samson.chip.input_ranges import choose_input_ranges
from analog_samson.errors import AnalogSamsonError, InputRangeWarning
from analog_samson.runtime.allocation import keep_freed_memory
from analog_samson.simulation.inputs import load_inputs
from analog_samson.simulation.options import SimulateOptions

RESULTS = Path(__file__).parent / "results"
PRESET = "pcm_rasch_2023"
TIMES = {"1d": 86400.0, "1y": 31536000.0}
CHIPS, SEED = 2, 0
Batches = Sequence[tuple[Tensor, Tensor]]


def named_method(method: str) -> Callable[..., dict[str, InputRange]]:
    """Ranges as the package chooses them."""

    def choose(model: nn.Module, calibration: Batches, keep_digital: Sequence[str]) -> dict[str, InputRange]:
        return choose_input_ranges(
            model, load_preset(PRESET), calibration, seed=SEED, method=method, keep_digital=keep_digital
        )

    return choose


METHODS = {
    "std": named_method("std"),
    "maximum": named_method("max"),
    "percentile_99_9": named_method("percentile:99.9"),
    "output_error": named_method("output_error"),
}


def resnet(options: argparse.Namespace) -> tuple[nn.Module, Batches, Batches]:
    """The zoo's ResNet-32, the first 1,000 test images, 1,000 training images cropped and flipped as in training."""
    simulate = SimulateOptions(
        checkpoint="zoo:resnet32_soup_cifar10",
        data=f"npz:{options.shared / 'data' / 'cifar10_test.npz'}",
        preset=PRESET,
        times=tuple(TIMES.values()),
        sigmas=(),
        adabs=True,
        limit=options.limit,
        calibration_data=options.images,
    )
    inputs = load_inputs(simulate)
    assert inputs.calibration is not None
    test, train = (
        list(inputs.batches(images, simulate, channels_last=True)) for images in (inputs.images, inputs.calibration)
    )
    return inputs.model, test, train


def keywords(shared: Path, limit: int | None = None) -> tuple[nn.Module, Batches, Batches]:
    """KWT-1, its clips, and every fourth of them; `_silence_` is digital silence, as its authors test it."""
    folder = shared / "networks"
    if not (folder / "nets.py").is_file():
        raise AnalogSamsonError(f"{folder}: no such networks")
    sys.path.insert(0, str(folder))
    try:
        from measure import read_audio
        from nets import load
    finally:
        sys.path.remove(str(folder))
    audio, index = read_audio("speech_commands")
    labels, model = torch.tensor(index["labels"]), load("kwt1")
    audio[labels == 0] = 0
    with torch.no_grad():
        features = torch.cat([model.features(part) for part in audio.split(120)])
    chosen = slice(None, None, 1 if limit is None else -(-len(labels) // limit))
    test = list(zip(features[chosen].split(120), labels[chosen].split(120), strict=True))
    return model, test, list(zip(features[::4].split(90), labels[::4].split(90), strict=True))


def measure(
    network: tuple[nn.Module, Batches, Batches],
    method: str,
    *,
    keep_digital: Sequence[str] = (),
    adabs: bool = False,
    chips: int = CHIPS,
    times: Sequence[float] = tuple(TIMES.values()),
) -> dict[str, Any]:
    """Accuracies of each chip with this method, the quantiles that it chose, and the worst layers."""
    model, test, calibration = network
    begin = process_time()
    ranges = METHODS[method](model, calibration, keep_digital)
    seconds = process_time() - begin
    result = simulate_drift(
        model,
        load_preset(PRESET),
        test,
        times=times,
        instances=chips,
        seed=SEED,
        adabs=adabs,
        calibration=calibration,
        keep_digital=keep_digital,
        input_range={path: one.value for path, one in ranges.items()},
    )
    found = [r for r in result.records if r.metric == "accuracy_percent" and r.adabs == adabs and r.stage == "drift"]
    errors = {path: one.relative_error for path, one in ranges.items() if one.relative_error is not None}
    return {
        "accuracy_percent": {
            label: [r.value for r in found if r.time_seconds == time] for label, time in TIMES.items() if time in times
        },
        "digital_percent": next(r.value for r in result.records if r.stage == "digital"),
        "seconds_of_the_choice": round(seconds, 2),
        "quantiles": {f"{q:g}": n for q, n in Counter(one.quantile for one in ranges.values() if one.quantile).items()},
        "worst_relative_errors": dict(sorted(errors.items(), key=lambda pair: -pair[1])[:3]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/ and networks/")
    parser.add_argument("--images", default="npz:cifar10_train.npz", help="training images of CIFAR-10")
    parser.add_argument("--limit", type=int, default=1000, help="test images of CIFAR-10")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    warnings.simplefilter("ignore", InputRangeWarning)
    cases: list[tuple[str, Callable[[], Any], dict[str, Any]]] = [
        ("resnet32_soup_cifar10, AdaBS", lambda: resnet(options), {"adabs": True}),
        ("KWT-1, all layers on tiles", lambda: keywords(options.shared), {}),
        ("KWT-1, `project` digital", lambda: keywords(options.shared), {"keep_digital": ("project",)}),
    ]
    rows = []
    for name, load, settings in cases:
        try:
            network = load()
        except AnalogSamsonError as error:
            print(f"skipped: {name}: {error}", file=sys.stderr)
            continue
        for method in METHODS:
            row = {"network": name, "samples": sum(len(y) for _, y in network[1]), "method": method}
            rows.append(row | measure(network, method, **settings))
            print(json.dumps(rows[-1]), flush=True)
    if not rows:
        raise SystemExit("nothing was measured: give --shared and --images")
    report = {"benchmark": "input_ranges", "preset": PRESET, "chips": CHIPS, "torch": torch.__version__, "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "input_ranges.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
