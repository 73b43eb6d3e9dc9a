"""All stages of a fit put together: what the devices of a measurement are like, with intervals."""

from dataclasses import dataclass, fields

import numpy as np
from scipy import stats

from analog_samson.analysis.device_fit.choices import DriftModel
from analog_samson.analysis.device_fit.exponents import ExponentData, Exponents, fit_exponents
from analog_samson.analysis.device_fit.likelihood import Maximum, sandwich
from analog_samson.analysis.device_fit.measurements import FEWEST_DEVICES, FEWEST_REPEATS, Array, Measurements
from analog_samson.analysis.device_fit.power_law import Clock, PowerLaws, fit_power_laws
from analog_samson.analysis.device_fit.programming import ProgrammingData, fit_programming, polynomial
from analog_samson.analysis.device_fit.read_noise import ReadNoise, fit_read_noise, q_at
from analog_samson.errors import DataError, OptionError
from analog_samson.units import format_duration

FEWEST_TIMES_FOR_NOISE = 3
_NO_NOISE = 1e-12  # q^2 of readings that differ by rounding alone
LARGEST_MISFIT = 1.25  # the law is then wrong by half the read noise of a mean
_CHANCE = 1e-3  # of a larger misfit where the laws hold; few devices exceed LARGEST_MISFIT by chance
LARGEST_NOISE = 0.3  # of a reading; beyond it readings at 0 are too frequent for a normal distribution
SMALLEST_SHARE = 0.25  # of its target; a device that was programmed to less is noisier than its target tells


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceModel:
    """What was fitted to measurements.

    Attributes:
        clock: How the preset counts the times of the measurements.
        g_max: Largest target [uS].
        laws: The power law of each device, in the order of `targets`.
        targets: Targets of these devices [uS], shape (N,).
        readable: Which of them entered the fit of drift and read noise, shape (N,).
        left_out: Number of devices that were read too rarely for a power law.
        programming: The maximum for the polynomial of the programming error; without coefficients where none is
            discernible.
        exponents: Mean and spread of the drift exponent; None without drift.
        read: The read noise; None where the measurements cannot tell it.
        covariance: Of the parameters of read noise, programming and exponents in this order, shape (p, p).
        misfit: Variance of what readings deviate from the power laws, over what read noise explains; None where the
            measurements cannot tell it.
    """

    clock: Clock
    g_max: float
    laws: PowerLaws
    targets: Array
    readable: Array
    left_out: int
    programming: Maximum
    exponents: Exponents | None
    read: ReadNoise | None
    covariance: Array
    misfit: float | None

    @property
    def programming_errors(self) -> Array:
        """Error of each device in standard deviations of the programming error, shape (N,)."""
        deviation = polynomial(self.programming.values, self.targets / self.g_max)
        return (self.laws.conductance - self.targets) / np.maximum(deviation, np.finfo(float).tiny)

    @property
    def laws_fail(self) -> bool:
        """Whether readings scatter around the power laws by much more than read noise and chance explain."""
        if self.misfit is None:
            return False
        freedom, of_noise = (one[self.readable].sum() for one in (self.laws.scatter_freedom, self.laws.freedom))
        return self.misfit > max(LARGEST_MISFIT, float(stats.f.isf(_CHANCE, freedom, of_noise)))


def clock_of(data: Measurements, t0_seconds: float | None, t_read_seconds: float, *, drift: bool) -> Clock:
    """How a preset counts the times of measurements.

    Args:
        data: The measurements.
        t0_seconds: The t0 of the power law, times as they are; None counts times, and drift, from the first reading.
        t_read_seconds: Width of the read pulse.
        drift: Whether drift is fitted.

    Raises:
        DataError: There is one time only, or several without drift.
        OptionError: The t0 is missing where the first reading is at 0 s, or not above the read pulse.
    """
    count, first = len(data.times), float(data.times[0])
    if drift and count == 1:
        raise DataError(
            f"measurements: all readings are at one time ({format_duration(first)}), so they cannot tell drift; "
            "add readings at later times, or give --no-drift for a preset without drift"
        )
    if not drift:
        if count > 1:
            raise OptionError(f"--no-drift: the measurements have {count} times; leave the option out to fit drift")
        return Clock(t0_seconds=0.0, seconds=data.times, t_read_seconds=t_read_seconds)
    if t0_seconds is None and first == 0:
        raise OptionError(
            "--t0: missing; the measurements begin at 0 s, so they do not tell when drift starts to count; "
            "give the t0 of g(t) = g ((t + t0) / t0)^-nu, for example --t0 20s"
        )
    t0, start = (first, first) if t0_seconds is None else (t0_seconds, 0.0)
    if t0 <= t_read_seconds:
        raise OptionError(f"--t0: expected more than the read pulse ({t_read_seconds:g} s), got {t0:g} s")
    return Clock(t0_seconds=t0, seconds=data.times - start, t_read_seconds=t_read_seconds)


def fit_devices(data: Measurements, clock: Clock, drift_model: DriftModel = "auto") -> DeviceModel:
    """Programming error, drift and read noise of devices.

    Args:
        data: The measurements.
        clock: What `clock_of` returns for them, or for measurements that these are a part of.
        drift_model: The model of the preset's drift section; "auto" chooses between a constant and a log-linear one.

    Raises:
        DataError: Too few devices can be read at two times, or none above the noise.
    """
    drifts = clock.t0_seconds > 0
    enough = (data.counts > 0).sum(1) >= (2 if drifts else 1)
    data, left_out = data.part(enough), int((~enough).sum())
    g_max = float(data.targets.max(initial=0.0))
    laws = fit_power_laws(data, clock)
    readable = (data.targets > 0) & (laws.conductance > SMALLEST_SHARE * data.targets)
    _require(readable, drifts)
    read = None
    if tells_read_noise(data, clock) and (laws.noise[readable] > _NO_NOISE).any():
        rough = fit_read_noise(_part(laws, readable), g_max, corrected=data.has_repeated_reads)
        # by target: a choice by estimates would depend on their errors
        readable &= rough.q(data.targets) * clock.growth.max() <= LARGEST_NOISE
        _require(readable, drifts)
        read = fit_read_noise(_part(laws, readable), g_max, corrected=data.has_repeated_reads)
    programming_data = ProgrammingData(targets=data.targets, conductance=laws.conductance, g_max=g_max)
    noise = read.maximum.values if read else np.zeros(0)
    errors = _Errors(laws=laws, targets=data.targets, readable=readable, g_max=g_max)
    programming = fit_programming(programming_data, errors.of_conductance(noise))
    exponents, exponent_data = None, ExponentData(targets=data.targets[readable], exponent=laws.exponent[readable])
    if drifts:
        exponents = fit_exponents(exponent_data, errors.of_exponent(noise), g_max, drift_model)
    return DeviceModel(
        clock=clock,
        g_max=g_max,
        laws=laws,
        targets=data.targets,
        readable=readable,
        left_out=left_out,
        programming=programming,
        exponents=exponents,
        read=read,
        covariance=_covariance(programming, exponents, read, programming_data, exponent_data, errors),
        misfit=_misfit(laws, read, readable) if data.has_repeated_reads else None,
    )


def tells_read_noise(data: Measurements, clock: Clock) -> bool:
    """Whether measurements can tell read noise from drift: by repeated reads, or by three times of each device."""
    if not clock.growth.all():
        return False  # a preset's read noise is 0 at such a time
    beyond_the_law = np.maximum((data.counts > 0).sum(1) - (FEWEST_TIMES_FOR_NOISE - 1), 0).sum()
    return data.has_repeated_reads or (clock.t0_seconds > 0 and beyond_the_law >= FEWEST_REPEATS)


def _require(readable: Array, drifts: bool) -> None:
    if readable.sum() < FEWEST_DEVICES:
        what = "can be read at two times at least" if drifts else "can be read"
        raise DataError(
            f"measurements: {int(readable.sum())} devices with a target above 0 {what} without noise of more than "
            f"{LARGEST_NOISE:.0%} of their conductance; expected {FEWEST_DEVICES} or more"
        )


def _part(laws: PowerLaws, chosen: Array) -> PowerLaws:
    return PowerLaws(**{field.name: getattr(laws, field.name)[chosen] for field in fields(laws)})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errors:
    """Variances of what was estimated of each device, as functions of the parameters of the read noise."""

    laws: PowerLaws
    targets: Array
    readable: Array
    g_max: float

    def of_conductance(self, noise: Array) -> Array:
        """Of the conductance [uS^2], all devices. At the target, so that it does not depend on the error itself."""
        if not noise.size:
            return np.zeros(len(self.targets))
        expected = np.where(self.targets > 0, self.targets, self.laws.conductance)
        return (expected * q_at(noise, expected / self.g_max)) ** 2 * self.laws.covariance[:, 0, 0]

    def of_exponent(self, noise: Array) -> Array:
        """Of the exponent, readable devices."""
        if not noise.size:
            return np.zeros(int(self.readable.sum()))
        relative = self.laws.conductance[self.readable] / self.g_max
        return q_at(noise, relative) ** 2 * self.laws.covariance[self.readable, 1, 1]


def _covariance(
    programming: Maximum,
    exponents: Exponents | None,
    read: ReadNoise | None,
    programming_data: ProgrammingData,
    exponent_data: ExponentData,
    errors: _Errors,
) -> Array:
    """Of all parameters, from the scores of the three stages together."""
    parts = [one for one in (read and read.maximum, programming, exponents and exponents.maximum) if one]
    values, scale = np.concatenate([one.values for one in parts]), np.concatenate([one.scale for one in parts])
    first = len(read.maximum.values) if read else 0
    second = first + len(programming.values)

    def scores(at: Array) -> Array:
        each = np.zeros((len(errors.targets), len(at)))
        noise = at[:first]
        if read:
            each[errors.readable, :first] = read.maximum.likelihood(noise)[1]
        each[:, first:second] = programming_data.likelihood(at[first:second], errors.of_conductance(noise))[1]
        if exponents:
            found = exponent_data.likelihood(at[second:], exponents.curves, errors.of_exponent(noise))
            each[errors.readable, second:] = found[1]
        return each

    return sandwich(scores, values, scale)


def _misfit(laws: PowerLaws, read: ReadNoise | None, readable: Array) -> float | None:
    """Weighted variance of cell means around the power laws over what read noise explains; 1 where the laws hold."""
    freedom = laws.scatter_freedom[readable]
    if read is None or not freedom.any():
        return None
    noise = read.q(laws.conductance[readable]) ** 2
    return float((laws.scatter[readable] / noise).sum() / freedom.sum())
