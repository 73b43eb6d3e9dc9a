"""Measure how much one ascent step of each tuned radius raises the loss where the fine-tuning starts.

    python benchmarks/study/ascent_strength.py --cifar10-test npz:cifar10_test.npz --checkpoints DIR

Radii of different methods are not on a common scale; the rise of the loss is one. Measured are ResNet-20 as it comes,
or with its weights clipped where the method clips, in eval mode, with the selection and eta of the trainings, on one
minibatch of the first 256 test images (on training images its loss is near zero). Draws nothing. Writes
ascent_strength.csv, which benchmarks/study/page.py reads.
"""

import argparse
import csv
import math
from pathlib import Path

import torch

from analog_samson.data import NORMALIZATIONS, open_data
from analog_samson.data.batches import Batches
from analog_samson.experiments.catalogue import load_experiment, networks_of
from analog_samson.experiments.plan import candidates
from analog_samson.experiments.results import options_text
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.sharpness.measure import measure_sharpness
from analog_samson.training.weight_noise import clip_weights

HERE = Path(__file__).parent
RESULT = HERE / "ascent_strength.csv"
SETTING, IMAGES = "resnet20_cifar10_tuned", 256
COLUMNS = ("method", "hyperparameters", "images", "loss", "loss_rise")


def measure(data: str, checkpoints: Path) -> list[dict[str, object]]:
    """One row for each candidate of each method that climbs, in the order of study.toml."""
    networks = networks_of(load_experiment(HERE / "study.toml"))
    setting = next(one for one in networks.settings if one.name == SETTING)
    batches = Batches(open_data(data, "test").take(IMAGES), NORMALIZATIONS["cifar10"], batch_size=IMAGES, device="cpu")
    rows: list[dict[str, object]] = []
    for method in networks.methods:
        options = method.options
        if options.method not in ("sam", "asam", "samson") or options.selection is not None or not method.grid:
            continue
        for candidate in candidates(method):
            model = restore_model(load_checkpoint(checkpoints / setting.start.file), setting.network).eval()
            if "clip" in candidate:
                clip_weights(model, candidate["clip"])
            found = measure_sharpness(
                model,
                batches,
                method=options.method,
                rho=candidate["rho"],
                p=math.inf if options.p is None else options.p,
                selection=setting.selection,
            )
            measured = {"images": found.images, "loss": round(found.loss, 6), "loss_rise": round(found.value, 6)}
            rows.append({"method": method.name, "hyperparameters": options_text(candidate), **measured})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the rise of the loss by one ascent step of each radius.")
    parser.add_argument("--cifar10-test", required=True, help="test images, named as for --data")
    parser.add_argument("--checkpoints", required=True, type=Path, help="folder with the checkpoints of study.toml")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(arguments.cifar10_test, arguments.checkpoints)
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{arguments.out}: {len(rows)} radii")


if __name__ == "__main__":
    main()
