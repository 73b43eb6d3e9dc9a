"""The score of a tuning candidate: mean accuracy on held-out training images over the conditions of the criterion."""

from statistics import fmean
from typing import Any

from torch import nn

from analog_samson.data.batches import Batches
from analog_samson.experiments.schema import Criterion
from analog_samson.presets.search import load_preset
from analog_samson.results.records import Record
from analog_samson.simulation.drift import simulate_drift
from analog_samson.simulation.gaussian import sweep_conductance_noise
from analog_samson.units import parse_duration


def score_network(
    model: nn.Module, criterion: Criterion, held_out: Batches, calibration: Batches, *, seed: int
) -> dict[str, Any]:
    """Accuracy [%] of each condition, averaged over the chips, and their mean as the score.

    calibration: training images for AdaBS, none of them held out. Draws from streams named by seed alone, so that all
    candidates meet the same chips. `model` is as before.
    """
    shared: dict[str, Any] = {
        "instances": criterion.instances,
        "seed": seed,
        "adabs": criterion.adabs,
        "bf16": criterion.bf16,
        "calibration": calibration,
    }
    records: list[Record] = []
    if criterion.times:
        times = [parse_duration(time) for time in criterion.times]
        records += simulate_drift(model, load_preset(criterion.preset), held_out, times=times, **shared).records
    if criterion.sigmas:
        records += sweep_conductance_noise(model, held_out, sigmas=criterion.sigmas, **shared).records
    found: dict[str, list[float]] = {}
    for record in records:
        is_condition = record.stage != "digital" and record.adabs == criterion.adabs
        if record.metric == "accuracy_percent" and is_condition:
            at = f"sigma_c {record.sigma_c:g}" if record.sigma_c is not None else f"{record.time_seconds:g} s"
            found.setdefault(at, []).append(record.value)
    conditions = {name: fmean(values) for name, values in found.items()}
    return {"score": fmean(conditions.values()), "conditions": conditions}
