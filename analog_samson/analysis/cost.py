"""What an inference costs on a preset's chip: tiles, area, energy and time, from a plan and published peak figures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from analog_samson.errors import OptionError, PresetError, did_you_mean
from analog_samson.presets.cost import CostFigures, ReadMode
from analog_samson.presets.schema import Preset
from analog_samson.presets.tiling import tile_grid

NEEDED = "array_rows, array_columns, arrays, and for a mode peak_tops, peak_tops_per_watt, peak_tops_per_mm2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The cost of one inference; what the source does not give is None.

    Attributes:
        preset: Name of the preset.
        mode: Way to read its chip.
        rows, columns: Largest tile: an array of the chip, or less where the preset's tiles are smaller.
        tiles: Tiles that hold the network, each an array of the chip.
        chips: Chips with so many arrays.
        devices: Devices that hold the weights in the simulation.
        utilisation_percent: Weights over crosspoints of these arrays.
        reads: Reads of an array an inference; None where MACs were not counted.
        analog_macs: Multiply-accumulates on tiles.
        digital_macs: All others, such as attention scores.
        area_mm2: Of the tiles with their converters.
        tile_joules: Energy of the reads.
        digital_joules: Energy of the digital MACs.
        sequential_seconds: Time of the reads with one weight after the other.
        pipelined_seconds: Time between two inferences where each weight works on another one.
        missing: Keys of the preset that its source does not give.
    """

    preset: str
    mode: str
    rows: int
    columns: int
    tiles: int
    chips: int | None
    devices: int
    utilisation_percent: float
    reads: int | None
    analog_macs: int
    digital_macs: int
    area_mm2: float | None
    tile_joules: float | None
    digital_joules: float | None
    sequential_seconds: float | None
    pipelined_seconds: float | None
    missing: tuple[str, ...] = ()

    @property
    def joules(self) -> float | None:
        """Energy of tiles and digital MACs together."""
        parts = (self.tile_joules, self.digital_joules)
        return None if None in parts else sum(part for part in parts if part is not None)

    @property
    def tile_tops_per_watt(self) -> float | None:
        """Operations on tiles per energy of the reads; the peak figure where every tile is full."""
        return _per(2 * self.analog_macs, self.tile_joules)

    @property
    def tops_per_watt(self) -> float | None:
        """All operations per energy of all."""
        return _per(2 * (self.analog_macs + self.digital_macs), self.joules)

    @property
    def sequential_tops(self) -> float | None:
        """Operations on tiles over `sequential_seconds`."""
        return _per(2 * self.analog_macs, self.sequential_seconds)

    @property
    def pipelined_tops(self) -> float | None:
        """Operations on tiles over `pipelined_seconds`."""
        return _per(2 * self.analog_macs, self.pipelined_seconds)


def cost_of(
    plan: Iterable[Mapping[str, Any]],
    preset: Preset,
    *,
    mode: str | None = None,
    digital_pj_per_mac: float | None = None,
) -> Cost:
    """The cost of one inference of a planned network.

    A weight is read once for each vector that it multiplies: once an output position of a convolution, once a step of
    a recurrent layer. All its tiles are read at once, and each read costs as much as that of a full array.

    Args:
        plan: Rows as `ConversionPlan.records` gives them. Without MACs there is neither energy nor time.
        preset: The hardware, with a section `[cost]`.
        mode: Way to read the chip; None for the preset's first.
        digital_pj_per_mac: Energy of a multiply-accumulate that stays digital [pJ]; None where it is not known.

    Raises:
        PresetError: The preset gives no figures, or a weight lies on tiles of another preset.
        OptionError: No such mode.

    >>> from analog_samson.presets.search import load_preset
    >>> full = {"path": "fc", "action": "analog", "rows": 256, "columns": 256, "groups": 1, "weights": 65536}
    >>> full |= {"devices": 131072, "macs": 65536}
    >>> found = cost_of([full], load_preset("pcm_hermes_2023_two_devices"), mode="one_phase")
    >>> found.tiles, f"{found.tile_tops_per_watt:.2f}"
    (1, '9.76')
    """
    if preset.cost is None:
        raise PresetError(f"preset {preset.name}: has no section [cost]; not given: {NEEDED}")
    figures, chosen = preset.cost, _mode(preset, mode)
    every = list(plan)
    weights = [row for row in every if row["action"] == "analog" and not row.get("shared_with")]
    if other := next((row for row in weights if row.get("preset", preset.name) not in ("", preset.name)), None):
        raise PresetError(f"{other['path']}: lies on preset {other['preset']}; a cost is of one preset, {preset.name}")
    limits = _limits(preset, figures)
    tiles = [_tiles(row, limits) for row in weights]
    reads = [ceil(row["macs"] / row["weights"]) for row in weights]
    of_arrays, one_by_one, slowest = sum(map(int.__mul__, reads, tiles)), sum(reads), max(reads, default=0)
    digital = sum(row["macs"] for row in every if row["action"] != "analog")
    counted = any(row["macs"] for row in every)
    joules = figures.read_joules(chosen) if counted else None
    seconds = figures.read_seconds(chosen) if counted else None
    return Cost(
        preset=preset.name,
        mode=chosen.name,
        rows=limits[0],
        columns=limits[1],
        tiles=sum(tiles),
        chips=None if figures.arrays is None else ceil(sum(tiles) / figures.arrays),
        devices=sum(row["devices"] for row in weights),
        utilisation_percent=100.0
        * sum(row["weights"] * row.get("slices", 1) for row in weights)
        / max(_crosspoints(figures, tiles), 1),
        reads=of_arrays if counted else None,
        analog_macs=sum(row["macs"] for row in every if row["action"] == "analog"),
        digital_macs=digital,
        area_mm2=_times(figures.array_mm2, sum(tiles)),
        tile_joules=_times(joules, of_arrays),
        digital_joules=_digital(digital, digital_pj_per_mac) if counted else None,
        sequential_seconds=_times(seconds, one_by_one),
        pipelined_seconds=_times(seconds, slowest),
        missing=figures.missing(chosen),
    )


def _mode(preset: Preset, name: str | None) -> ReadMode:
    assert preset.cost is not None
    modes = {mode.name: mode for mode in preset.cost.modes}
    if name is None:
        return preset.cost.modes[0]
    if name not in modes:
        hint = did_you_mean(name, modes)
        raise OptionError(f"mode {name!r}: expected one that {preset.name} has: {', '.join(modes)}{hint}")
    return modes[name]


def _tiles(row: Mapping[str, Any], limits: tuple[int, int]) -> int:
    groups = row["groups"]
    return tile_grid(row["rows"] // groups, row["columns"] // groups, groups, *limits)[0] * row.get("slices", 1)


def _limits(preset: Preset, figures: CostFigures) -> tuple[int, int]:
    """Most rows and columns of a tile: those of an array without its spare lines, or of the preset's tiles."""
    room = [
        size - getattr(preset.faults, spare, 0)
        for size, spare in ((figures.array_rows, "spare_rows"), (figures.array_columns, "spare_columns"))
    ]
    if min(room) < 1:
        size = f"{figures.array_rows} x {figures.array_columns}"
        raise PresetError(f"preset {preset.name}: spare lines leave nothing of an array of {size}; expected fewer")
    tile = preset.tile
    return min(tile.max_rows or room[0], room[0]), min(tile.max_columns or room[1], room[1])


def _crosspoints(figures: CostFigures, tiles: Sequence[int]) -> int:
    return sum(tiles) * figures.array_rows * figures.array_columns


def _times(one: float | None, count: int) -> float | None:
    return None if one is None else one * count


def _digital(macs: int, picojoules: float | None) -> float | None:
    if macs == 0:
        return 0.0
    return None if picojoules is None else macs * picojoules * 1e-12


def _per(operations: int, amount: float | None) -> float | None:
    return operations / amount / 1e12 if amount else None
