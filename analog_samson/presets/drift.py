"""What a preset says of time: how conductances move after programming."""

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from analog_samson.presets.fields import (
    Coefficients,
    Finite,
    Grid,
    NonNegative,
    NonNegatives,
    Piecewise,
    Polynomials,
    Positive,
    Section,
    Times,
    as_many_as,
    not_above,
)

_T0 = "time of the first reading, at which drift starts to count"


class NoDrift(Section):
    """Conductances stay as programmed."""

    model: Literal["none"]


class LogLinearDrift(Section):
    """g(t) = g * ((t + t0) / t0)^-nu, t from the end of programming; nu = |mean + std * N(0, 1)| per device.

    Mean and std are each slope * ln(g_target / g_max) + intercept, held between min and max.
    """

    model: Literal["log_linear_exponent"]
    t0_seconds: Positive = Field(description=_T0)
    nu_mean_slope: Finite = Field(description="mean of nu: per unit of ln(g / g_max)")
    nu_mean_intercept: Finite = Field(description="mean of nu: at g_max")
    nu_mean_max: NonNegative = Field(description="mean of nu: upper bound")
    nu_mean_min: NonNegative = Field(description="mean of nu: lower bound")
    nu_std_slope: Finite = Field(description="spread of nu between devices: per unit of ln(g / g_max)")
    nu_std_intercept: Finite = Field(description="spread of nu: at g_max")
    nu_std_max: NonNegative = Field(description="spread of nu: upper bound")
    nu_std_min: NonNegative = Field(description="spread of nu: lower bound")

    @field_validator("nu_mean_min")
    @classmethod
    def _mean_bounds(cls, value: float, info: ValidationInfo) -> float:
        return not_above(value, info, "nu_mean_max")

    @field_validator("nu_std_min")
    @classmethod
    def _std_bounds(cls, value: float, info: ValidationInfo) -> float:
        return not_above(value, info, "nu_std_max")


class ConstantExponentDrift(Section):
    """The same power law with one mean and one spread of nu for all conductances."""

    model: Literal["constant_exponent"]
    t0_seconds: Positive = Field(description=_T0)
    nu_mean: NonNegative = Field(description="mean of nu")
    nu_std: NonNegative = Field(description="spread of nu between devices")


class TabulatedExponentDrift(Section):
    """The same power law with mean and spread of nu interpolated in g_target, held beyond the ends of the table."""

    model: Literal["tabulated_exponent"]
    t0_seconds: Positive = Field(description=_T0)
    g_microsiemens: Grid = Field(description="target conductances of the table")
    nu_mean: NonNegatives = Field(description="mean of nu at each of them")
    nu_std: NonNegatives = Field(description="spread of nu between devices at each of them")

    @field_validator("nu_mean", "nu_std")
    @classmethod
    def _one_a_conductance(cls, value: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        return as_many_as(value, info, "g_microsiemens")


class PiecewiseExponentDrift(Section):
    """The same power law with mean and spread of nu each in two pieces, x = g_target / g_max.

    From a knee on a polynomial in x, below it linear in ln x and held between min and max.
    """

    model: Literal["piecewise_exponent"]
    t0_seconds: Positive = Field(description=_T0)
    nu_mean_knee: Positive = Field(description="mean of nu: x from which on the polynomial holds")
    nu_mean_log_slope: Finite = Field(description="mean of nu below the knee: per unit of ln x")
    nu_mean_log_intercept: Finite = Field(description="mean of nu below the knee: where ln x is 0")
    nu_mean_log_max: NonNegative = Field(description="mean of nu below the knee: upper bound")
    nu_mean_log_min: NonNegative = Field(description="mean of nu below the knee: lower bound")
    nu_mean_coefficients: Coefficients = Field(description="c0, c1, c2, ... of the mean of nu from the knee on")
    nu_std_knee: Positive = Field(description="spread of nu: x from which on the polynomial holds")
    nu_std_log_slope: Finite = Field(description="spread of nu below the knee: per unit of ln x")
    nu_std_log_intercept: Finite = Field(description="spread of nu below the knee: where ln x is 0")
    nu_std_log_max: NonNegative = Field(description="spread of nu below the knee: upper bound")
    nu_std_log_min: NonNegative = Field(description="spread of nu below the knee: lower bound")
    nu_std_coefficients: Coefficients = Field(description="c0, c1, c2, ... of the spread of nu from the knee on")

    @field_validator("nu_mean_log_min", "nu_std_log_min")
    @classmethod
    def _bounds(cls, value: float, info: ValidationInfo) -> float:
        return not_above(value, info, str(info.field_name).replace("_min", "_max"))

    @property
    def nu_mean(self) -> Piecewise:
        """Mean of nu as a function of x."""
        return Piecewise(
            self.nu_mean_knee,
            self.nu_mean_log_slope,
            self.nu_mean_log_intercept,
            self.nu_mean_log_min,
            self.nu_mean_log_max,
            self.nu_mean_coefficients,
        )

    @property
    def nu_std(self) -> Piecewise:
        """Spread of nu as a function of x."""
        return Piecewise(
            self.nu_std_knee,
            self.nu_std_log_slope,
            self.nu_std_log_intercept,
            self.nu_std_log_min,
            self.nu_std_log_max,
            self.nu_std_coefficients,
        )


class DeviationAtTimesDrift(Section):
    """g(t) = g_target + s(t) * N(0, 1), not below 0, drawn anew at every time that is looked at.

    At each listed time s is a polynomial in g_target / g_max, scaled with g_max; between two of them it is
    interpolated in ln t, before the first and after the last it stays.
    """

    model: Literal["deviation_at_times"]
    seconds: Times = Field(description="times after programming that were measured", min_length=1)
    coefficients_microsiemens: Polynomials = Field(description="c0, c1, c2, ... of the standard deviation at each")
    reference_g_max_microsiemens: Positive = Field(description="g_max of the devices the fit was made on")

    @field_validator("coefficients_microsiemens")
    @classmethod
    def _one_a_time(cls, value: tuple[tuple[float, ...], ...], info: ValidationInfo) -> tuple[tuple[float, ...], ...]:
        return as_many_as(value, info, "seconds")


class RelaxationDrift(Section):
    """g(t) = g + shift + s * N(0, 1) with shift = slope ln(t / t0), s = slope ln(t / t0) + intercept, for all g.

    Nothing at t = 0, as at t0 before t0. The result, read noise included, is held between g_min and g_max.
    """

    model: Literal["relaxation"]
    t0_seconds: Positive = Field(description="time at which the shift is 0")
    shift_slope_microsiemens: Finite = Field(description="mean shift: per unit of ln(t / t0)")
    std_slope_microsiemens: NonNegative = Field(description="spread between devices: per unit of ln(t / t0)")
    std_intercept_microsiemens: NonNegative = Field(description="spread between devices: at t0")


PowerLaw = LogLinearDrift | ConstantExponentDrift | TabulatedExponentDrift | PiecewiseExponentDrift
Drift = NoDrift | PowerLaw | DeviationAtTimesDrift | RelaxationDrift
