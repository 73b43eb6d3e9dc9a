"""Train with SAMSON, put the network on simulated analog hardware, read its accuracy after a year."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see; at run time `__getattr__` loads a name when it is asked for
    from analog_samson.chip.batchnorm import adapt_batchnorm as adapt_batchnorm
    from analog_samson.chip.convert import convert as convert
    from analog_samson.crossbar.coverage import CoverageWarning as CoverageWarning
    from analog_samson.crossbar.outliers import OutlierWarning as OutlierWarning
    from analog_samson.crossbar.plan import plan_conversion as plan_conversion
    from analog_samson.models.checkpoint import load_checkpoint as load_checkpoint
    from analog_samson.models.checkpoint import save_checkpoint as save_checkpoint
    from analog_samson.presets.search import list_presets as list_presets
    from analog_samson.presets.search import load_preset as load_preset
    from analog_samson.results.store import open_run as open_run
    from analog_samson.sharpness.measure import measure_sharpness as measure_sharpness
    from analog_samson.sharpness.optimizers import ASAM as ASAM
    from analog_samson.sharpness.optimizers import SAM as SAM
    from analog_samson.sharpness.optimizers import SAMSON as SAMSON
    from analog_samson.sharpness.perturb import perturbed as perturbed
    from analog_samson.simulation.device import SimulatedDevice as SimulatedDevice
    from analog_samson.simulation.drift import simulate_drift as simulate_drift
    from analog_samson.simulation.gaussian import sweep_conductance_noise as sweep_conductance_noise
    from analog_samson.simulation.result import SimulationResult as SimulationResult

__version__ = "0.2.0"

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
    "SimulatedDevice": "simulation.device",
    "simulate_drift": "simulation.drift",
    "sweep_conductance_noise": "simulation.gaussian",
    "SimulationResult": "simulation.result",
    "adapt_batchnorm": "chip.batchnorm",
    "measure_sharpness": "sharpness.measure",
    "load_checkpoint": "models.checkpoint",
    "save_checkpoint": "models.checkpoint",
    "open_run": "results.store",
    "CoverageWarning": "crossbar.coverage",
    "OutlierWarning": "crossbar.outliers",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'analog_samson' has no attribute {name!r}")
    return getattr(importlib.import_module(f"analog_samson.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
