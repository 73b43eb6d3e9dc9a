"""A range of one number of a preset, such as periphery.adc_bits=4..10, and the levels at which it is looked at."""

from dataclasses import dataclass

from analog_samson.errors import OptionError
from analog_samson.presets.changes import parse_number
from analog_samson.presets.describe import unit_of
from analog_samson.presets.fields import show_number
from analog_samson.presets.leaves import FACTORS, check_leaf, leaves
from analog_samson.presets.schema import Preset

_ACRONYMS = ("adc", "dac", "ir")
_DIGITS = 3  # of a level between the ends, so that names and tables stay readable
_GEOMETRIC = 4  # from this ratio of the ends on, levels have a constant ratio
EXAMPLE = "expected LEAF=LOW..HIGH, such as periphery.adc_bits=4..10"


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One number that is varied.

    Attributes:
        path: Dotted path of the number.
        levels: Increasing values.
        own: The value in the preset; it is one of the levels if it lies in the range and there are three or more.
    """

    path: str
    levels: tuple[float, ...]
    own: float

    @property
    def title(self) -> str:
        """What sentences call the number: the meaning of a factor, or the words of its key.

        >>> Axis(path="periphery.adc_bits", levels=(4, 5), own=8).title
        'ADC bits'
        """
        if self.path in FACTORS:
            return FACTORS[self.path].title
        words = self.path.rpartition(".")[2].removesuffix("_microsiemens").removesuffix("_seconds").split("_")
        return " ".join(word.upper() if word in _ACRONYMS else word for word in words)

    def text(self, level: int) -> str:
        """The value of a level with its unit."""
        value = show_number(self.levels[level])
        unit = "x" if self.path in FACTORS else f" {unit_of(self.path)}"
        return value if self.path.endswith("_bits") else f"{value}{unit}".rstrip()  # the title says bits

    @property
    def own_level(self) -> int | None:
        """The level of the preset itself; None where it lies outside the range."""
        return self.levels.index(self.own) if self.own in self.levels else None


def parse_axis(text: str, preset: Preset, points: int) -> Axis:
    """The axis that LEAF=LOW..HIGH describes.

    Whole numbers stay whole, and all of them are levels where there are no more than `points`. Other levels lie at
    equal distances, or at equal ratios where HIGH is at least 4 times LOW.

    Args:
        text: The range; ends may have the unit of the number: s, m, h, d, w, y for seconds, uS for microsiemens.
        preset: Whose number is varied.
        points: Most levels.

    Raises:
        OptionError: No such number, no two ends, or an end that is no number or has another unit.

    >>> from analog_samson.presets.search import load_preset
    >>> pcm = load_preset("pcm_nandakumar_2019")
    >>> parse_axis("programming.scale=0.25..2", pcm, points=4).levels
    (0.25, 0.5, 1.0, 2.0)
    """
    path, equals, ends = (part.strip() for part in text.partition("="))
    if not equals:
        raise OptionError(f"{text!r}: {EXAMPLE}")
    check_leaf(preset, path)
    low_text, dots, high_text = (part.strip() for part in ends.partition(".."))
    if not (dots and low_text and high_text):
        raise OptionError(f"{path}: expected a range with two ends, such as {path}=1..2, got {ends!r}")
    own = leaves(preset)[path]
    low, high = parse_number(low_text, path, own), parse_number(high_text, path, own)
    if low >= high:
        raise OptionError(f"{path}: expected LOW below HIGH, got {ends!r}")
    whole = isinstance(own, int)
    if whole and high - low < points:
        return Axis(path=path, levels=tuple(range(int(low), int(high) + 1)), own=own)
    spaced = [_between(low, high, place / (points - 1)) for place in range(points)]
    inner = [round(value) if whole else float(f"{value:.{_DIGITS}g}") for value in spaced[1:-1]]
    if inner and low < own < high:
        inner[min(range(len(inner)), key=lambda place: abs(inner[place] - own))] = own
    return Axis(path=path, levels=tuple(sorted({low, *inner, high})), own=own)


def _between(low: float, high: float, share: float) -> float:
    if low > 0 and high >= _GEOMETRIC * low:
        return float(low * (high / low) ** share)
    return low + (high - low) * share
