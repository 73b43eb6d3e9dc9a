"""Presets with a section replaced, weights, and what the devices make of them over time."""

import copy

import torch

from analog_samson import rng
from analog_samson.presets import load_preset, parse_preset


def changed(name, **sections):
    """A built-in preset with whole sections replaced."""
    mapping = copy.deepcopy(load_preset(name).model_dump(mode="json"))
    for section, values in sections.items():
        mapping[section] = values if "model" in values else {**mapping[section], **values}
    return parse_preset(mapping, "changed")


def weights(rows=40, columns=30, seed=0):
    """Weights of both signs over many sizes, some exactly zero."""
    generator = rng.generator(seed, "weights")
    matrix = torch.randn(rows, columns, generator=generator) ** 3
    return matrix * (torch.rand(rows, columns, generator=generator) > 0.05)


def aged(model, matrix, times, seed=1):
    """The programmed weights, what the devices keep, and the weights at each time, all from one stream."""
    with rng.stream(seed, "devices"):
        programmed, kept = model.apply_programming_noise(matrix)
        return programmed, kept, [model.apply_drift_noise(programmed, kept, t) for t in times]
