"""What a run stores about itself besides its numbers."""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from analog_samson import __version__
from analog_samson.crossbar.plan import ConversionPlan
from analog_samson.presets.schema import Preset
from analog_samson.results.metric import stored_task
from analog_samson.runtime.devices import find_device
from analog_samson.simulation.inputs import Inputs, first_outputs
from analog_samson.simulation.options import SimulateOptions

PACKAGES = ("torch", "torchvision", "aihwkit", "numpy")


def run_facts(inputs: Inputs, plan: ConversionPlan, options: SimulateOptions, command: str) -> dict[str, Any]:
    """What the report says about a run besides its numbers."""
    return {
        "command": command,
        "environment": _environment(find_device(options.device)),
        "preset": inputs.preset.model_dump(mode="json"),
        "preset_sha256": inputs.preset.fingerprint,
        "layer_presets": _layer_presets(inputs.layer_presets),
        "checkpoint": {
            "path": options.checkpoint,
            "sha256": inputs.checkpoint.sha256,
            "metadata": inputs.checkpoint.metadata,
            "model": inputs.model_name,
            "normalization": inputs.normalization and f"{inputs.normalization} ({inputs.normalization_origin})",
        },
        "data": {
            "name": inputs.images.name,
            "fingerprint": inputs.images.fingerprint,
            "count": len(inputs.images),
            "num_classes": getattr(inputs.images, "num_classes", None),
        },
        "calibration": inputs.calibration
        and {"name": inputs.calibration.name, "fingerprint": inputs.calibration.fingerprint},
        "hardware": asdict(plan.summary()),
        "plan": plan.records(),
        "seed": options.seed,
        "task": stored_task(inputs.task.name, inputs.task.metrics),
        "outputs": first_outputs(inputs, options),
    }


def _layer_presets(layers: Mapping[str, Preset]) -> dict[str, Any] | None:
    """The presets of single layers, as `preset` and `preset_sha256` by pattern, with one fingerprint of them all."""
    if not layers:
        return None
    stored = {
        pattern: {"preset": preset.model_dump(mode="json"), "preset_sha256": preset.fingerprint}
        for pattern, preset in layers.items()
    }
    order = "\n".join(f"{pattern}={preset.fingerprint}" for pattern, preset in layers.items())
    return {"sha256": hashlib.sha256(order.encode()).hexdigest(), "layers": stored}


def _environment(device: torch.device) -> dict[str, Any]:
    found: dict[str, Any] = {"analog-samson": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found |= {"threads": torch.get_num_threads(), "processor": platform.machine()}
    return found | ({"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {})
