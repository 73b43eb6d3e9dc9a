"""What a preset says of its devices: how many hold a weight, how exactly they are programmed and read."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from analog_samson.presets.fields import (
    Coefficients,
    Finite,
    NonNegative,
    Pairs,
    Piecewise,
    Positive,
    Positives,
    Section,
    expected,
    not_above,
    show_number,
)


class Device(Section):
    """The memory device, and how a weight is put on devices.

    With pairs, a weight is the difference of the two devices of each pair, and one of the two is at g_min. With 0
    pairs it is a single device: the smallest weight of a tile stands at g_min, the largest at g_max.
    """

    technology: Literal["PCM", "ReRAM", "ideal", "generic"] = Field(description="kind of device")
    g_max_microsiemens: Positive = Field(description="conductance of the largest weight of a tile")
    g_min_microsiemens: NonNegative = Field(description="conductance of a device that stands for zero")
    pairs: Pairs = Field(description="device pairs per weight; 0 = a single device from g_min to g_max")
    sharing: Literal["none", "averaged", "filled"] = Field(
        description="how several pairs share a weight: each takes the same fraction, or the first is filled up before "
        "the next is used; 'none' for fewer than two"
    )
    significance: Positives = Field(
        description="what the current of each pair is multiplied by; empty for fewer than two pairs"
    )

    @property
    def per_weight(self) -> int:
        """Devices that hold one weight.

        >>> from analog_samson.presets import load_preset
        >>> load_preset("pcm_nandakumar_2019").device.per_weight
        2
        """
        return 2 * self.pairs or 1

    @property
    def span_microsiemens(self) -> float:
        """From the device that stands for zero to that of the largest weight."""
        return self.g_max_microsiemens - self.g_min_microsiemens

    @property
    def factors(self) -> tuple[float, ...]:
        """Weight of the current of each pair, also where there is only one."""
        return self.significance or (1.0,)

    @field_validator("g_min_microsiemens")
    @classmethod
    def _below_g_max(cls, value: float, info: ValidationInfo) -> float:
        g_max = info.data.get("g_max_microsiemens")
        if g_max is not None and value >= g_max:
            raise expected(f"below g_max_microsiemens ({show_number(g_max)})")
        return value

    @field_validator("sharing")
    @classmethod
    def _sharing_fits_pairs(cls, value: str, info: ValidationInfo) -> str:
        pairs = info.data.get("pairs")
        if pairs is not None and (pairs < 2) != (value == "none"):
            raise expected(
                "'none' for fewer than two pairs" if pairs < 2 else "'averaged' or 'filled' for several pairs"
            )
        return value

    @field_validator("significance")
    @classmethod
    def _one_factor_a_pair(cls, value: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        pairs = info.data.get("pairs")
        if pairs is not None and len(value) != (pairs if pairs > 1 else 0):
            raise expected(f"{pairs} numbers, one a pair" if pairs > 1 else "an empty list for fewer than two pairs")
        return value


class NoProgrammingNoise(Section):
    """Every device reaches its target."""

    model: Literal["none"]


class PolynomialProgramming(Section):
    """g = g_target + s * N(0, 1), not below 0, with s a polynomial in g_target / g_max, scaled with g_max."""

    model: Literal["polynomial"]
    coefficients_microsiemens: Coefficients = Field(description="c0, c1, c2, ... of the standard deviation")
    reference_g_max_microsiemens: Positive = Field(description="g_max of the devices the fit was made on")


class LinearProgramming(Section):
    """g = g_target + s * N(0, 1), not below 0, with s linear in g_target, whatever g_max is."""

    model: Literal["linear"]
    intercept_microsiemens: NonNegative = Field(description="standard deviation at a target of 0")
    slope: NonNegative = Field(description="standard deviation: per unit of the target")


class RelativeGaussianProgramming(Section):
    """g = g_target * delta with delta ~ N(1, sigma_c^2) for each device, not clipped."""

    model: Literal["relative_gaussian"]
    sigma_c: NonNegative = Field(description="standard deviation relative to the target")


class AdditiveGaussianProgramming(Section):
    """g = g_target + s / sqrt(2) * N(0, 1) for each device, not clipped, s scaled with g_max.

    So the difference of the two devices of a pair deviates by s, whatever the target.
    """

    model: Literal["additive_gaussian"]
    sigma_microsiemens: NonNegative = Field(description="standard deviation of the difference of a pair")
    reference_g_max_microsiemens: Positive = Field(description="g_max of the devices it was measured on")


class NoReadNoise(Section):
    """Reading a device gives its conductance."""

    model: Literal["none"]


class FlickerReadNoise(Section):
    """1/f noise added up since programming: std = g * q * sqrt(ln((t + t0 + t_read) / (2 t_read))).

    q = coefficient / max((g / g_max)^exponent, denominator_min), at most q_max.
    """

    model: Literal["flicker"]
    t_read_seconds: Positive = Field(description="width of the read pulse")
    q_coefficient: NonNegative = Field(description="q at g_max")
    q_exponent: NonNegative = Field(description="how fast q grows towards small conductances")
    q_denominator_min: Positive = Field(description="keeps the division finite at g = 0")
    q_max: NonNegative = Field(description="upper bound of q")


class PiecewiseFlickerReadNoise(Section):
    """The same noise with q a polynomial in x = g / g_max from a knee on, below it linear in ln x and bounded."""

    model: Literal["piecewise_flicker"]
    t_read_seconds: Positive = Field(description="width of the read pulse")
    q_knee: Positive = Field(description="x from which on the polynomial holds")
    q_log_slope: Finite = Field(description="q below the knee: per unit of ln x")
    q_log_intercept: Finite = Field(description="q below the knee: where ln x is 0")
    q_log_max: NonNegative = Field(description="q below the knee: upper bound")
    q_log_min: NonNegative = Field(description="q below the knee: lower bound")
    q_coefficients: Coefficients = Field(description="c0, c1, c2, ... of q from the knee on")

    @field_validator("q_log_min")
    @classmethod
    def _bounds(cls, value: float, info: ValidationInfo) -> float:
        return not_above(value, info, "q_log_max")

    @property
    def q(self) -> Piecewise:
        """q as a function of x."""
        return Piecewise(
            self.q_knee, self.q_log_slope, self.q_log_intercept, self.q_log_min, self.q_log_max, self.q_coefficients
        )


class ProportionalFlickerReadNoise(Section):
    """The same noise with one q for all conductances: std = strength * g / g_max * sqrt(ln(...))."""

    model: Literal["proportional_flicker"]
    t_read_seconds: Positive = Field(description="width of the read pulse")
    strength_microsiemens: NonNegative = Field(description="standard deviation at g_max where the root is 1")


class LogarithmicFlickerReadNoise(Section):
    """std = strength * log10(g / 1 uS) * sqrt(ln((t + t_read) / (2 t_read))), 0 below 1 uS."""

    model: Literal["logarithmic_flicker"]
    t_read_seconds: Positive = Field(description="width of the read pulse")
    strength_microsiemens: NonNegative = Field(description="standard deviation at 10 uS where the root is 1")


Programming = (
    NoProgrammingNoise
    | PolynomialProgramming
    | LinearProgramming
    | RelativeGaussianProgramming
    | AdditiveGaussianProgramming
)
Read = (
    NoReadNoise
    | FlickerReadNoise
    | PiecewiseFlickerReadNoise
    | ProportionalFlickerReadNoise
    | LogarithmicFlickerReadNoise
)
