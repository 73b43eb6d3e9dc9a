"""A layer's weights as a chip holds them, for training: the stages of the tiles, without the tiles."""

import torch
from torch import Tensor

from analog_samson.chip.device.drift import aged_conductance, drift_parameters, is_power_law
from analog_samson.chip.device.faulty import draw_faulty_weights
from analog_samson.chip.device.programming import programmed_conductance
from analog_samson.chip.device.read import read_deviation
from analog_samson.chip.device.unit_cell import shares, to_conductances, to_weights
from analog_samson.chip.slicing import sliced
from analog_samson.crossbar.layout import Layout, form_of, outputs_first
from analog_samson.presets.device import Device
from analog_samson.presets.device_faults import StuckDevices
from analog_samson.presets.drift import DeviationAtTimesDrift, NoDrift
from analog_samson.presets.schema import Compensation, Preset, Tile

_TINY = torch.finfo(torch.float32).tiny


def changes_weights(preset: Preset) -> bool:
    """Whether devices of this preset ever hold another weight than the one asked for."""
    sections = (preset.programming, preset.drift, preset.read, preset.faults)
    return any(section.model != "none" for section in sections)


def changes_with_time(preset: Preset) -> bool:
    """Whether stored weights depend on how long ago they were programmed.

    >>> from analog_samson.presets import load_preset
    >>> [changes_with_time(load_preset(name)) for name in ("pcm_nandakumar_2019", "gaussian_joshi_2020")]
    [True, False]
    """
    return any(section.model != "none" for section in (preset.drift, preset.read))


@torch.no_grad()
def weight_on_chip(
    weight: Tensor, preset: Preset, t_seconds: float, *, generator: torch.Generator, layout: Layout | None = None
) -> Tensor:
    """The weight of one layer as a chip of this preset holds it `t_seconds` after programming.

    Split over tiles, scaled, programmed, drifted, read and compensated as the simulation does it, with two things left
    out: converters and whatever else happens per product, and the error of the compensation's own reading (its factor
    is the exact one). A time of 0 means as programmed, unread. Returns float32; `weight` stays. Draws up to three
    normal numbers a device, fewer where a device at zero conductance stays there, from `generator` on the weight's
    device. layout: how the weight lies on tiles; None is (outputs, inputs...).

    >>> from analog_samson.presets import load_preset
    >>> weight = torch.ones(2, 3)
    >>> torch.equal(weight_on_chip(weight, load_preset("ideal"), 3600.0, generator=torch.Generator()), weight)
    True
    """
    layout = Layout.of(*outputs_first(form_of(weight.shape))) if layout is None else layout
    matrix = layout.to_matrix(weight).float()
    columns, rows = _parts(len(matrix), preset.tile.max_columns), _parts(matrix.shape[1], preset.tile.max_rows)
    slices = []
    for one in sliced(matrix, preset.tile.slice_bits, by_column=preset.tile.weight_scaling == "per_column"):
        bands = [
            torch.cat([_tile_holds(part.contiguous(), preset, t_seconds, generator) for part in band.split(columns)])
            for band in one.split(rows, dim=1)
        ]
        slices.append(torch.cat(bands, dim=1))
    return layout.to_weight(slices[0] if len(slices) == 1 else torch.stack(slices).sum(0), weight.shape)


def _parts(size: int, limit: int) -> list[int]:
    """`size` in as few parts as the limit allows (0 = none), as equal as they can be."""
    count = -(-size // limit) if limit else 1
    base, extra = divmod(size, count)
    return [base + (part < extra) for part in range(count)]


def _tile_holds(matrix: Tensor, preset: Preset, t_seconds: float, generator: torch.Generator) -> Tensor:
    """What one tile makes of its part (out, in) of a weight matrix, in the same units."""
    if not changes_weights(preset):
        return matrix
    digital = _digital_scale(matrix, preset.tile)
    targets, scale = to_conductances(matrix / digital, preset.device)
    g = programmed_conductance(targets, preset.programming, preset.device, generator=generator)
    programmed = to_weights(g, preset.device, scale)
    faulty = None
    if isinstance(preset.faults, StuckDevices):
        sections = (preset.faults, preset.programming, preset.drift, preset.device)
        faulty = draw_faulty_weights(matrix / digital, *sections, generator=generator)
    held = programmed if faulty is None else faulty.programmed(programmed, preset.device)
    if t_seconds == 0 or not changes_with_time(preset):
        return held * digital
    if isinstance(preset.drift, DeviationAtTimesDrift):
        g = aged_conductance(g, targets, preset.drift, preset.read, preset.device, t_seconds, generator=generator)
        aged = to_weights(g, preset.device, scale)
    elif _zero_stays(preset):
        aged = _aged_without_zeros(programmed, targets, preset, t_seconds, generator)
    else:
        aged = _aged(programmed, targets, preset, t_seconds, generator)
    if faulty is not None:
        aged = faulty.aged(aged, preset.drift, preset.read, preset.device, t_seconds, generator=generator)
    return aged * (digital * _compensation(held, aged, preset.compensation))


def _digital_scale(matrix: Tensor, tile: Tile) -> Tensor:
    """The weight that stands at g_max, (1, 1) or (out, 1); 1 where all weights are zero, as in aihwkit."""
    top = matrix.abs().amax(1, keepdim=True)
    if tile.weight_scaling == "per_layer":
        top = top.amax(0, keepdim=True)
    return torch.where(top > 0, top, 1.0)


def _aged(programmed: Tensor, targets: Tensor, preset: Preset, t_seconds: float, generator: torch.Generator) -> Tensor:
    """Weights of the tile after drift and reading.

    As in aihwkit the programmed weights are first mapped to devices anew, the largest of them to g_max; exponents
    belong to the devices of the targets.
    """
    device = preset.device
    g, scale = to_conductances(programmed, device)
    parameters = drift_parameters(targets, preset.drift, device, generator=generator)
    aged = aged_conductance(g, parameters, preset.drift, preset.read, device, t_seconds, generator=generator)
    return to_weights(aged, device, scale)


def _zero_stays(preset: Preset) -> bool:
    """Whether a device at the conductance of zero stays there: then one device of each pair has to be followed."""
    device, zero = preset.device, torch.zeros(1)
    if device.pairs == 0 or device.g_min_microsiemens > 0:
        return False
    moves = not isinstance(preset.drift, NoDrift) and not is_power_law(preset.drift)
    return not moves and bool(read_deviation(zero, zero, preset.read, device, 1.0e9) == 0)


def _aged_without_zeros(
    programmed: Tensor, targets: Tensor, preset: Preset, t_seconds: float, generator: torch.Generator
) -> Tensor:
    """The same random weights as `_aged` gives, of half as many devices."""
    device = preset.device
    ratio = sum(device.factors) * device.span_microsiemens / programmed.abs().amax().clamp(min=_TINY)
    g = shares(programmed.abs() * ratio, device)
    target = torch.where(programmed > 0, targets[::2], targets[1::2])
    parameters = drift_parameters(target, preset.drift, device, generator=generator)
    aged = aged_conductance(g, parameters, preset.drift, preset.read, device, t_seconds, generator=generator)
    return torch.copysign(_weighted_sum(aged, device), programmed) / ratio


def _weighted_sum(currents: Tensor, device: Device) -> Tensor:
    """Over the pairs, each with its significance: (pairs, *shape) -> shape."""
    if device.pairs == 1:
        return currents[0] * device.factors[0]
    return torch.einsum("p...,p->...", currents, torch.tensor(device.factors, device=currents.device))


def _compensation(programmed: Tensor, aged: Tensor, section: Compensation) -> Tensor | float:
    """What outputs are multiplied by: the mean |weight| of the tile, or of each column, as it was over what it is."""
    if section.kind == "none":
        return 1.0
    before, now = programmed.abs().mean(1, keepdim=True), aged.abs().mean(1, keepdim=True)
    if section.kind == "global":
        before, now = before.mean(), now.mean()
    return torch.where(now > 0, before / now.clamp(min=_TINY), 1.0)
