"""Which function each model of a preset's programming, drift and read noise stands for; other packages add theirs.

A function is registered under the class of the preset's section, whose numbers it is given.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from analog_samson.presets.fields import Section
from analog_samson.presets.noise_models import register_section

# (target conductances [uS], section, device, generator) -> conductances after programming [uS]
ProgrammingFunction = Callable[..., Tensor]
# (targets [uS], section, device) -> mean and standard deviation of the drift exponent nu
ExponentFunction = Callable[..., tuple[Any, Any]]
# (conductances now and as programmed [uS], section, device, t [s]) -> standard deviation of the read noise [uS]
ReadFunction = Callable[..., Tensor]

PROGRAMMING: dict[type[Section], ProgrammingFunction] = {}
EXPONENTS: dict[type[Section], ExponentFunction] = {}
READ: dict[type[Section], ReadFunction] = {}
_F = TypeVar("_F", bound=Callable[..., Any])


def programming_noise(section: type[Section], *, strengths: tuple[str, ...]) -> Callable[[_F], _F]:
    """Decorator: let presets program devices by this model.

    The function takes (target conductances [uS], section, device, generator) and returns the conductances after
    programming, same shape. It draws from `generator`, or from torch's global stream where that is None.

    Args:
        section: The preset's section, a `Section` with a new `model`.
        strengths: Its numbers that are 0 where the noise is off.

    Raises:
        OptionError: The section does not fit, see `presets.noise_models.register_section`.
    """
    return _registering("programming", PROGRAMMING, section, strengths)


def drift_exponents(section: type[Section], *, strengths: tuple[str, ...]) -> Callable[[_F], _F]:
    """Decorator: let conductances drift by a power law, g(t) = g ((t + t0) / t0)^-nu, with these exponents.

    The function takes (target conductances [uS], section, device) and returns mean and standard deviation of nu. The
    section has a field `t0_seconds`. Arguments and errors as for `programming_noise`.
    """
    return _registering("drift", EXPONENTS, section, strengths)


def read_noise(section: type[Section], *, strengths: tuple[str, ...]) -> Callable[[_F], _F]:
    """Decorator: let readings of devices be noisy by this model.

    The function takes (conductances now [uS], conductances as programmed [uS], section, device, t [s] since
    programming) and returns the standard deviation of a reading [uS], same shape. Arguments and errors as for
    `programming_noise`.
    """
    return _registering("read", READ, section, strengths)


def _registering(
    stage: Any, table: dict[type[Section], Any], section: type[Section], strengths: tuple[str, ...]
) -> Callable[[_F], _F]:
    def register(function: _F) -> _F:
        register_section(stage, section, strengths=strengths)
        table[section] = function
        return function

    return register
