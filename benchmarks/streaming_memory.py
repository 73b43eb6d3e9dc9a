"""How much memory does a simulation on a data set take that is larger than memory should hold?

    python benchmarks/streaming_memory.py --folder DIR --memory 1000,2500 --cache 2500,5000 --array 50000

Generates JPEG files of 500 x 375 pixels and about 110 kB, as in ImageNet's validation set: 200 that differ, and hard
links to them under as many names as are needed, in 100 class folders. Then runs `analog-samson simulate` on
imagenet:DIR (224 x 224 pixels after the transform) with a tiny network on one chip with converters: input ranges and
AdaBS are calibrated on 1000 images of the training part. Each run is a process of its own, with all images in memory
(ANALOG_SAMSON_MAX_GIB) or in the cache of decoded images, which it writes. With --array, images of 224 x 224 random
pixels lie in an npy file, which is read like the cache. The figure is the largest resident memory of the process
(ru_maxrss of wait4; threads decode, so there are no worker processes). It does not include the kernel's page cache,
which gives way to any other need. Writes results/streaming_memory.json.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

RESULTS = Path(__file__).parent / "results"
CLASSES, DISTINCT, CALIBRATION = 100, 200, 1000
MEMORY, CACHE, ARRAY = "memory", "cache", "npy file"  # where the images are
QUALITY = 93  # of the noise below, for about 110 kB
GIB = 2**30


class Tiny(nn.Module):
    """A convolution, batch norm and a linear layer: little time and memory beside the images."""

    def __init__(self, num_classes: int = CLASSES) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 16, stride=16), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.head = nn.Linear(32, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x).flatten(1))


def jpeg(seed: int) -> bytes:
    """Smooth colours with noise, other ones for each seed."""
    random = np.random.default_rng(seed)
    smooth = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375), Image.BICUBIC)
    noisy = np.asarray(smooth, float) + random.normal(0, 16, (375, 500, 3))
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "jpeg", quality=QUALITY)
    return buffer.getvalue()


def write_images(folder: Path, count: int, first: int) -> int:
    """`count` files in class folders, of which DISTINCT differ; returns their mean size [bytes]."""
    distinct = min(count, DISTINCT)
    for number in range(count):
        file = folder / f"class{number % CLASSES:03}" / f"{number:06}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        if number < distinct:
            file.write_bytes(jpeg(first + number))
        else:
            origin = number % distinct
            os.link(folder / f"class{origin % CLASSES:03}" / f"{origin:06}.jpg", file)
    sizes = [file.stat().st_size for file in (folder / "class000").iterdir()]
    return round(sum(sizes) / len(sizes))


def write_array(folder: Path, name: str, count: int) -> None:
    """Images of random pixels with labels, as `npz:DIR` takes them."""
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(len(name))
    shape = (count, 224, 224, 3)
    np.save(folder / f"{name}_labels.npy", np.arange(count) % CLASSES)
    with (folder / f"{name}_images.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for _ in range(count):
            file.write(random.bytes(224 * 224 * 3))


def simulate(folder: Path, count: int, place: str) -> dict[str, Any]:
    """One run in a process of its own."""
    out = folder / f"run-{count}-{place.replace(' ', '-')}"
    data = f"npz:{folder / 'arrays'}" if place == ARRAY else f"imagenet:{folder / 'data'}"
    here = Path(__file__).parent
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
        "ANALOG_SAMSON_CACHE": str(folder / "cache"),
        "ANALOG_SAMSON_MAX_GIB": "64" if place == MEMORY else "0.1",
    }
    command = [sys.executable, "-m", "analog_samson", "simulate", "--model", "streaming_memory:Tiny"]
    command += ["--checkpoint", str(folder / "tiny.safetensors"), "--data", data]
    command += ["--limit", str(count), "--calibration-limit", str(CALIBRATION), "--preset", "pcm_rasch_2023"]
    command += ["--times", "1d", "--instances", "1", "--calibrate", "adabs", "--sigmas", "none", "--threads", "1"]
    command += ["--normalization", "imagenet", "--no-html", "--quiet", "--out", str(out)]
    began = time.perf_counter()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}; see {folder / 'log.txt'}")
    return {
        "images": count,
        "decoded_gib": round(count * 224 * 224 * 3 / GIB, 3),
        "place": place,
        "peak_gib": round(usage.ru_maxrss * 1024 / GIB, 3),
        "seconds": round(time.perf_counter() - began),
        "values": values(out),
    }


def values(out: Path) -> list[str]:
    """Every value of the run, for its comparison with others."""
    from analog_samson import open_run

    with open_run(out) as run:
        return sorted(f"{record.condition} {record.metric} {record.value!r}" for record in run.records())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for images, cache and runs")
    for name, default in (("memory", "1000,2500"), ("cache", "2500,5000"), ("array", "50000")):
        parser.add_argument(f"--{name}", default=default, help="images of the runs")
    options = parser.parse_args()
    from analog_samson import save_checkpoint

    given = {MEMORY: options.memory, CACHE: options.cache, ARRAY: options.array}
    counts = {place: [int(text) for text in text.split(",")] for place, text in given.items()}
    options.folder.mkdir(parents=True)
    size = write_images(options.folder / "data" / "val", max(counts[MEMORY] + counts[CACHE]), first=0)
    write_images(options.folder / "data" / "train", CALIBRATION, first=DISTINCT)
    write_array(options.folder / "arrays", "test", max(counts[ARRAY]))
    write_array(options.folder / "arrays", "train", CALIBRATION)
    torch.manual_seed(0)
    save_checkpoint(options.folder / "tiny.safetensors", Tiny(), {"model": "streaming_memory:Tiny"})
    rows: list[dict[str, Any]] = []
    for place, sizes in counts.items():
        for count in sizes:
            rows.append(simulate(options.folder, count, place))
            print({key: value for key, value in rows[-1].items() if key != "values"}, flush=True)
    decoded = {place: {row["images"]: row["values"] for row in rows if row["place"] == place} for place in counts}
    both = decoded[MEMORY].keys() & decoded[CACHE].keys()
    same = {count: decoded[MEMORY][count] == decoded[CACHE][count] for count in sorted(both)}
    for row in rows:
        del row["values"]
    report = {"benchmark": "streaming_memory", "file_bytes": size, "same_values": same, "rows": rows}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "streaming_memory.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
