"""What options of this room choose from, for modules that must not load torch."""

from typing import Literal

from analog_samson.errors import OptionError, did_you_mean

Engine = Literal["fast", "aihwkit"]
ReadNoise = Literal["per_condition", "per_read"]
NoiseDevice = Literal["cpu", "cuda"]

OUTPUT_ERROR, MAX, PERCENTILE, STD, LEARNED = RANGE_METHODS = ("output_error", "max", "percentile", "std", "learned")
NO_SCALING, SMOOTH = SCALINGS = ("none", "smooth")
_PERCENTILE, _ALPHA = 99.9, 0.5


def range_method(text: str) -> str:
    """The method for input ranges as it is stored. Raises OptionError for anything else.

    >>> range_method("max"), range_method("percentile"), range_method("percentile:99.50")
    ('max', 'percentile:99.9', 'percentile:99.5')
    """
    name, number = _parted(text, RANGE_METHODS, PERCENTILE, _PERCENTILE)
    if number is None:
        return name
    if not 0 < number <= 100:
        raise OptionError(f"expected a percentile above 0 and at most 100, got {text!r}")
    return f"{name}:{number!r}"


def percentile_of(method: str) -> float | None:
    """The percentile of the absolute inputs that a method takes as the range; None for the other methods.

    >>> percentile_of("max"), percentile_of("percentile:99.5"), percentile_of("std")
    (100.0, 99.5, None)
    """
    if method == MAX:
        return 100.0
    return float(method.partition(":")[2]) if method.startswith(PERCENTILE) else None


def scaling_method(text: str) -> str:
    """The way to rescale inputs as it is stored. Raises OptionError for anything else.

    >>> scaling_method("none"), scaling_method("smooth"), scaling_method("smooth:1")
    ('none', 'smooth:0.5', 'smooth:1.0')
    """
    name, number = _parted(text, SCALINGS, SMOOTH, _ALPHA)
    if number is None:
        return name
    if not 0 <= number <= 1:
        raise OptionError(f"expected an alpha of 0 to 1, got {text!r}")
    return f"{name}:{number!r}"


def alpha_of(scaling: str) -> float | None:
    """The alpha of "smooth:0.5"; None without scaling."""
    return float(scaling.partition(":")[2]) if scaling.startswith(SMOOTH) else None


def _parted(text: str, names: tuple[str, ...], numbered: str, default: float) -> tuple[str, float | None]:
    """A name and, for the one that takes it, its number."""
    name, colon, number = text.partition(":")
    if name not in names:
        listed = ", ".join(f"{each}[:{default:g}]" if each == numbered else each for each in names)
        raise OptionError(f"expected one of {listed}, got {text!r}{did_you_mean(name, names)}")
    if name != numbered:
        if colon:
            raise OptionError(f"{name} takes no number, got {text!r}; give {name!r}")
        return name, None
    try:
        return name, float(number) if colon else default
    except ValueError:
        raise OptionError(f"expected a number after {name}:, such as {default:g}, got {text!r}") from None
