"""Run folders with made-up but lifelike numbers, equal for equal arguments."""

from pathlib import Path
from typing import Any

import numpy as np

from analog_samson.results.records import Record
from analog_samson.results.store import RunFolder

TIMES = (1.0, 3600.0, 86400.0, 31536000.0)
SIGMAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
PRESET: dict[str, Any] = {
    "schema": 1,
    "name": "pcm_nandakumar_2019",
    "title": "PCM, Nandakumar 2019",
    "summary": "PCM, polynomial programming noise, drift exponent linear in log conductance",
    "source": {
        "citation": "A. Author, B. Author, A model of phase-change memory, Journal of Devices 1, 2019",
        "doi": "10.1000/example.2019",
        "year": 2019,
        "kind": "fitted",
        "notes": "Coefficients of a fit to one million devices.",
    },
    "device": {"technology": "PCM", "g_max_microsiemens": 25.0, "g_min_microsiemens": 0.0, "pairs": 1},
    "programming": {
        "model": "polynomial",
        "coefficients_microsiemens": [0.26348, 1.9650, -1.1731],
        "reference_g_max_microsiemens": 25.0,
    },
    "drift": {"model": "log_linear_exponent", "t0_seconds": 20.0, "nu_mean_slope": -0.0155},
    "read": {"model": "flicker", "t_read_seconds": 2.5e-07},
    "tile": {"max_rows": 0, "max_columns": 0, "weight_scaling": "per_layer"},
    "periphery": {"model": "perfect"},
    "compensation": {"kind": "global"},
    "validity": {"max_seconds": 2592000.0, "max_g_microsiemens": 25.0},
}
PLAN = [
    ("stem", "Conv2d", "analog", "", 27, 16, 1, 864, 442368, 432, None),
    ("blocks.0.conv", "Conv2d", "analog", "", 144, 16, 1, 4608, 2359296, 2304, None),
    ("blocks.0.norm", "BatchNorm2d", "digital", "normalisation stays digital", 0, 0, 0, 0, 0, 32, None),
    ("blocks.1.depthwise", "Conv2d", "digital", "groups = 16", 0, 0, 0, 0, 147456, 144, None),
    ("head", "Linear", "analog", "", 64, 10, 1, 1280, 640, 640, None),
]
PLAN_KEYS = (
    "path",
    "layer_type",
    "action",
    "reason",
    "rows",
    "columns",
    "tiles",
    "devices",
    "macs",
    "parameters",
    "shared_with",
)
META: dict[str, Any] = {
    "command": "analog-samson simulate --model resnet20 --checkpoint net.safetensors --data digits --out run",
    "environment": {"analog-samson": "0.1.0", "torch": "2.10.0", "aihwkit": "1.1.0", "threads": 2},
    "preset": PRESET,
    "preset_sha256": "6f" * 32,
    "data": {"name": "digits test", "fingerprint": "ab" * 32, "count": 2000, "num_classes": 10},
    "hardware": {
        "tiles": 3,
        "devices": 6752,
        "utilisation_percent": 41.5,
        "analog_macs_percent": 95.0,
        "analog_parameters_percent": 95.1,
        "macs": 2949760,
        "parameters": 3552,
    },
    "plan": [dict(zip(PLAN_KEYS, row, strict=True)) for row in PLAN],
    "seed": 0,
}
OPTIONS: dict[str, Any] = {
    "model": "resnet20",
    "checkpoint": "net.safetensors",
    "data": "digits",
    "preset": "pcm_nandakumar_2019",
    "times": list(TIMES),
    "instances": 5,
    "seed": 0,
    "engine": "fast",
    "limit": None,
    "calibrate": [],
}


def synthetic_records(
    checkpoint: str = "sgd",
    *,
    instances: int = 5,
    fall: float = 12.0,
    digital: float = 91.7,
    adabs: bool = False,
    seed: int = 0,
) -> list[Record]:
    """Records of one run: digital, programmed, TIMES, and SIGMAS of the Gaussian model.

    fall: points lost after a year. The spread of an instance is the same for equal seeds (paired comparison).
    """
    return [
        *_cell(checkpoint, "digital", adabs, 0, digital),
        *_drift(checkpoint, adabs, instances, digital, fall, seed),
        *_gaussian(checkpoint, adabs, instances, digital, fall, seed),
    ]


def synthetic_run(
    path: Path,
    checkpoint: str = "sgd",
    *,
    records: list[Record] | None = None,
    options: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
    **numbers: Any,
) -> Path:
    """A finished run folder at `path`, closed."""
    with RunFolder.create(path, OPTIONS | {"checkpoint": f"{checkpoint}.safetensors"} | (options or {})) as run:
        run.commit(synthetic_records(checkpoint, **numbers) if records is None else records)
        own = {"path": f"{checkpoint}.safetensors", "sha256": "cd" * 32, "metadata": {"method": checkpoint}}
        for key, value in (META | {"checkpoint": own} | (meta or {})).items():
            run.set_meta(key, value)
    return path


def _drift(checkpoint: str, adabs: bool, instances: int, digital: float, fall: float, seed: int) -> list[Record]:
    records = []
    luck = np.random.default_rng(seed).normal(size=(len(TIMES) + 1, instances))
    for step, time in enumerate((None, *TIMES)):
        lost = fall * (0.15 if time is None else 0.25 + 0.75 * np.log10(time) / np.log10(TIMES[-1]))
        stage = "programmed" if time is None else "drift"
        for instance in range(instances):
            accuracy = digital - lost + 0.15 * lost * luck[step, instance]
            records += _cell(checkpoint, stage, adabs, instance, accuracy, time=time, error=lost / 45)
    return records


def _gaussian(checkpoint: str, adabs: bool, instances: int, digital: float, fall: float, seed: int) -> list[Record]:
    records = []
    luck = np.random.default_rng(seed + 1).normal(size=(len(SIGMAS), instances))
    for step, sigma in enumerate(SIGMAS):
        lost = 11 * (4 + fall) * sigma**2
        for instance in range(instances if sigma > 0 else 1):
            accuracy = digital - lost + 0.1 * lost * luck[step, instance]
            records += _cell(checkpoint, "gaussian", adabs, instance, accuracy, sigma=sigma)
    return records


def _cell(
    checkpoint: str,
    stage: str,
    adabs: bool,
    instance: int,
    accuracy: float,
    *,
    time: float | None = None,
    sigma: float | None = None,
    error: float | None = None,
) -> list[Record]:
    values = {"accuracy_percent": accuracy, "loss": (100 - accuracy) / 30, "weight_error": error}
    return [
        Record(
            checkpoint=checkpoint,
            preset="pcm_nandakumar_2019",
            stage=stage,
            calibration="adabs" if adabs else "none",
            instance=instance,
            time_seconds=time,
            sigma_c=sigma,
            metric=metric,
            value=float(value),
        )
        for metric, value in values.items()
        if value is not None
    ]
