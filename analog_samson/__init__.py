"""Train with SAMSON, put the network on simulated analog hardware, read its accuracy after a year."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Loaded on first use (PEP 562): torch costs two seconds, and `presets list` or `report` need none of it.
_HOME = {
    "SAM": "sharpness.optimizers",
    "ASAM": "sharpness.optimizers",
    "SAMSON": "sharpness.optimizers",
    "perturbed": "sharpness.perturb",
    "load_preset": "presets.search",
    "list_presets": "presets.search",
    "plan_conversion": "crossbar.plan",
    "convert": "chip.convert",
    "simulate_drift": "simulation.drift",
    "sweep_conductance_noise": "simulation.gaussian",
    "adapt_batchnorm": "chip.batchnorm",
    "measure_sharpness": "sharpness.measure",
    "load_checkpoint": "models.checkpoint",
    "save_checkpoint": "models.checkpoint",
    "open_run": "results.store",
    "CoverageWarning": "crossbar.coverage",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'analog_samson' has no attribute {name!r}")
    return getattr(importlib.import_module(f"analog_samson.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
