"""Devices of a tile that fail: where they are, what they stay at, and the weights that they spoil.

In formulas: D devices a weight, a tile of (columns, rows), g [uS]; NaN marks a device that works. What is drawn here
comes from streams of its own, so that all healthy weights of a chip are those of the same chip without faults.
"""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from analog_samson import rng
from analog_samson.chip.device.drift import aged_conductance, drift_parameters
from analog_samson.chip.device.programming import programmed_conductance
from analog_samson.chip.device.unit_cell import Scale, to_conductances, to_weights
from analog_samson.presets.device import Device, Programming, Read
from analog_samson.presets.device_faults import StuckDevices
from analog_samson.presets.drift import Drift


@dataclass(frozen=True, slots=True)
class FaultyWeights:
    """The weights of one tile with a failed device, device by device.

    Attributes:
        places: Where they are in the flattened matrix, (k,).
        works: Whether a device works, (D, k).
        conductances: As programmed, or what a failed device stays at, (D, k) [uS].
        parameters: What `drift_parameters` gave for these devices.
        scale: From weights to conductances.
        seed: Of the draws of later readings.
    """

    places: Tensor
    works: Tensor
    conductances: Tensor
    parameters: Tensor | None
    scale: Scale
    seed: int

    def programmed(self, weights: Tensor, device: Device) -> Tensor:
        """The weights (columns, rows) of a tile with these in their places; a new tensor."""
        return self._put(weights, self.conductances, device)

    def aged(
        self,
        weights: Tensor,
        drift: Drift,
        read: Read,
        device: Device,
        t_seconds: float,
        *,
        generator: torch.Generator | None = None,
        reads: torch.Generator | None = None,
    ) -> Tensor:
        """The same `t_seconds` after programming; `weights` are those of the healthy devices at that time.

        Each device is followed by itself. Without a generator, numbers come from where torch's CPU stream is, and leave
        it there; `reads` is as for `aged_conductance`.
        """
        if generator is None:
            here = hashlib.sha256(torch.get_rng_state().numpy().tobytes()).hexdigest()
            generator = rng.generator(self.seed, "reading", here)
        streams = {"generator": generator, "reads": reads}
        g = aged_conductance(self.conductances, self.parameters, drift, read, device, t_seconds, **streams)
        return self._put(weights, torch.where(self.works, g, self.conductances), device)

    def _put(self, weights: Tensor, conductances: Tensor, device: Device) -> Tensor:
        found = weights.clone()
        found.view(-1)[self.places] = to_weights(conductances, device, self.scale)
        return found


def draw_faulty_weights(
    weights: Tensor,
    faults: StuckDevices,
    programming: Programming,
    drift: Drift,
    device: Device,
    *,
    generator: torch.Generator | None = None,
) -> FaultyWeights:
    """Draw which devices of a tile fail, and program those that work beside one that fails.

    Args:
        weights: The target weights (columns, rows) of the tile.
        faults: What fails and what is done about it.
        programming, drift, device: The other sections of the preset.
        generator: Where all is drawn from; None is torch's global stream of the CPU.
    """
    targets, scale = to_conductances(weights, device)
    seed = int(torch.randint(2**62, (), generator=generator, device=_place(generator)))
    stuck = draw_stuck((len(targets), *weights.shape), faults, device, generator)
    if stuck[0].shape != weights.shape:
        stuck = _with_spares(stuck, targets.to(stuck.device), faults, device)  # as on a CPU, to the last bit
    places = (~stuck.isnan()).any(0).flatten().nonzero().flatten()
    stuck, places = stuck.flatten(1)[:, places].to(weights.device), places.to(weights.device)
    wanted = targets.flatten(1)[:, places]
    if faults.compensation == "pair":
        wanted = compensated(wanted, stuck, device)
    works = stuck.isnan()
    programmed = programmed_conductance(wanted, programming, device, generator=generator)
    parameters = drift_parameters(wanted, drift, device, generator=generator)
    return FaultyWeights(places, works, torch.where(works, programmed, stuck), parameters, scale, seed)


def draw_stuck(
    shape: tuple[int, int, int], faults: StuckDevices, device: Device, generator: torch.Generator | None = None
) -> Tensor:
    """What each device of a tile (D, columns, rows) stays at [uS], NaN where it works.

    Spare lines come after those of the tile: (D, columns + spare columns, rows + spare rows). How many there are, and
    what the fractions are, changes none of the numbers that are drawn for the tile itself.
    """
    count, columns, rows = shape
    stuck = _stuck_devices(shape, faults, device, generator)
    row, column = _uniform((rows,), generator), _uniform((count, columns, 1), generator)
    if more := faults.spare_columns:
        stuck = torch.cat([stuck, _stuck_devices((count, more, rows), faults, device, generator)], dim=1)
        column = torch.cat([column, _uniform((count, more, 1), generator)], dim=1)
    if more := faults.spare_rows:
        stuck = torch.cat([stuck, _stuck_devices((*stuck.shape[:2], more), faults, device, generator)], dim=2)
        row = torch.cat([row, _uniform((more,), generator)])
    return torch.where((row < faults.open_rows) | (column < faults.open_columns), 0.0, stuck)


def _stuck_devices(
    shape: tuple[int, int, int], faults: StuckDevices, device: Device, generator: torch.Generator | None
) -> Tensor:
    kind, level = _uniform(shape, generator), _uniform(shape, generator)
    first, second = faults.stuck_at_g_min, faults.stuck_at_g_min + faults.stuck_at_g_max
    stuck = torch.where(kind < faults.stuck, device.g_min_microsiemens + level * device.span_microsiemens, torch.nan)
    stuck[kind < second] = device.g_max_microsiemens
    stuck[kind < first] = device.g_min_microsiemens
    return stuck


def compensated(targets: Tensor, stuck: Tensor, device: Device) -> Tensor:
    """Targets (D, ...) of pairs that keep their difference where one device is stuck, within g_min..g_max [uS]."""
    found = targets.clone()
    for plus, minus in zip(range(0, len(targets), 2), range(1, len(targets), 2), strict=True):
        difference = targets[plus] - targets[minus]
        for one, other, sign in ((plus, minus, -1), (minus, plus, 1)):
            needed = (stuck[one] + sign * difference).clamp(device.g_min_microsiemens, device.g_max_microsiemens)
            found[other] = torch.where(stuck[one].isnan(), found[other], needed)
    return found


def damage(targets: Tensor, stuck: Tensor, faults: StuckDevices, device: Device) -> Tensor:
    """Squared error of the weights of each line [uS^2] from their stuck devices, compensated as `faults` says; (n,).

    Args:
        targets: Of the devices, (D, n, ...) [uS].
        stuck: What devices stay at, NaN where they work; same shape.
    """
    held = compensated(targets, stuck, device) if faults.compensation == "pair" else targets
    held = torch.where(stuck.isnan(), held, stuck)
    unit = Scale(torch.ones((), device=targets.device))
    error = to_weights(held, device, unit) - to_weights(targets, device, unit)
    return error.double().square().sum(1)


def _with_spares(whole: Tensor, targets: Tensor, faults: StuckDevices, device: Device) -> Tensor:
    """The lines of `draw_stuck` that a tile uses: its own, the worst replaced, first the columns and then the rows."""
    chosen = _chosen(whole[:, :, : targets.shape[2]], targets, faults, device)
    whole = whole[:, chosen]
    return whole[:, :, _chosen(whole.mT, targets.mT, faults, device)]


def _chosen(lines: Tensor, targets: Tensor, faults: StuckDevices, device: Device) -> Tensor:
    """Which of the lines and spares (D, n + spares, ...) hold the n lines of `targets`.

    The line with the largest damage takes the first spare, the next one the second, and so on, each where it loses less
    on the spare.
    """
    count = targets.shape[1]
    chosen = torch.arange(count, device=targets.device)
    loss = damage(targets, lines[:, :count], faults, device)
    worst = loss.argsort(descending=True, stable=True)[: lines.shape[1] - count]
    if len(worst):
        spare = count + torch.arange(len(worst), device=targets.device)
        better = damage(targets[:, worst], lines[:, spare], faults, device) < loss[worst]
        chosen[worst[better]] = spare[better]
    return chosen


def _uniform(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator, device=_place(generator))


def _place(generator: torch.Generator | None) -> torch.device:
    return torch.device("cpu") if generator is None else generator.device
