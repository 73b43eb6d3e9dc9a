"""The figures of a cost, each with its unit and the assumption behind it."""

from dataclasses import dataclass
from math import floor, log10

from analog_samson.analysis.cost import Cost

_NO_MACS = "not counted: the plan has no multiply-accumulates (MACs)"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostFigure:
    """One figure.

    Attributes:
        name: The attribute of `Cost`.
        title: What tables call it.
        value: The number in `unit`; None where it is not given.
        unit: Its unit; empty for a count.
        assumption: What it takes for granted, or what is missing.
    """

    name: str
    title: str
    value: float | None
    unit: str
    assumption: str

    def __str__(self) -> str:
        """The value with its unit, to three digits; "not given" without one."""
        if self.value is None:
            return "not given"
        if not self.unit:
            return f"{self.value:,.0f}"
        return f"{three_digits(self.value)} {self.unit}"


def three_digits(value: float) -> str:
    """A number of 0 or above to three digits, without an exponent.

    >>> three_digits(4735.66), three_digits(0.01713), three_digits(0.0)
    ('4,736', '0.0171', '0')
    """
    digits = max(0, 2 - floor(log10(value))) if value else 0
    return f"{value:,.{digits}f}"


def cost_figures(cost: Cost) -> tuple[CostFigure, ...]:
    """All figures of a cost, in the order of tables."""
    size = f"{cost.rows} x {cost.columns}"
    lacking = ", ".join(cost.missing)
    digital = f"{cost.digital_macs:,} MACs that no tile does"
    rows = (
        ("tiles", "tiles of the chip", "", 1, f"each weight on arrays of its own, cut to at most {size}"),
        ("chips", "chips", "", 1, "links between chips cost nothing"),
        ("devices", "devices", "", 1, "those that hold weights in the simulation"),
        ("utilisation_percent", "tile utilisation", "%", 1, "weights over crosspoints of these arrays"),
        ("area_mm2", "area", "mm2", 1, "tiles with converters; no memory for activations, no links"),
        ("reads", "tile reads an inference", "", 1, "one a tile and output position, step or token: MACs over weights"),
        ("tile_joules", "energy of tiles", "uJ", 1e6, "each read as much as of a full array; idle tiles take none"),
        ("digital_joules", "energy of digital MACs", "uJ", 1e6, f"{digital}; no moving of data"),
        ("joules", "energy an inference", "uJ", 1e6, "tiles and digital MACs"),
        (
            "sequential_seconds",
            "latency, sequential",
            "us",
            1e6,
            "one weight after the other; digital work takes no time",
        ),
        (
            "pipelined_seconds",
            "interval, pipelined",
            "us",
            1e6,
            "each weight on another inference; the slowest one counts",
        ),
        ("tile_tops_per_watt", "efficiency of tiles", "TOPS/W", 1, "2 operations a MAC on tiles, over their energy"),
        ("tops_per_watt", "efficiency", "TOPS/W", 1, "2 operations a MAC, over all energy"),
        ("sequential_tops", "throughput, sequential", "TOPS", 1, "operations on tiles over the latency"),
        ("pipelined_tops", "throughput, pipelined", "TOPS", 1, "operations on tiles over the interval"),
    )
    found = []
    for name, title, unit, factor, assumption in rows:
        value = getattr(cost, name)
        if value is None:
            assumption = _absence(cost, name, lacking)
        found.append(
            CostFigure(
                name=name,
                title=title,
                value=None if value is None else factor * value,
                unit=unit,
                assumption=assumption,
            )
        )
    return tuple(found)


def _absence(cost: Cost, name: str, lacking: str) -> str:
    """Why a figure is not given."""
    if cost.reads is None and name not in ("area_mm2", "chips"):
        return _NO_MACS
    if name in ("digital_joules", "joules", "tops_per_watt") and cost.digital_joules is None:
        return f"energy of {cost.digital_macs:,} digital MACs not given: --digital-pj-per-mac"
    return f"the preset's source gives no {lacking}"
