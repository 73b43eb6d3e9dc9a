"""Presets with one non-ideality taken away, or with one alone.

Where it can be, a noise is given strength 0 rather than another model: it still draws its numbers, so all other draws
of a chip stay what they were and a difference to the full preset is one of equal chips.
"""

from collections.abc import Callable
from typing import Any

from analog_samson.presets.device import NoProgrammingNoise, NoReadNoise
from analog_samson.presets.device_faults import NO_FAULTS, NoFaults
from analog_samson.presets.drift import NoDrift
from analog_samson.presets.schema import Converters, Preset

Mute = Callable[[Preset], Preset]
CLIPPING = "input clipping"
INPUT_RANGE = "input range"
_NO_BOUND = 1e6  # an ADC range that no product reaches; 1 is a full input on a full weight


def effects(preset: Preset) -> dict[str, Mute]:
    """The non-idealities that can be taken away from the preset, by name, each with the function that does it.

    Clipping is not among them (see `clips`). Compensation is no non-ideality and stays as well.

    >>> from analog_samson.presets.search import load_preset
    >>> list(effects(load_preset("pcm_nandakumar_2019")))
    ['programming noise', 'drift', 'read noise']
    """
    return {name: mute for name, (is_there, mute) in _EFFECTS.items() if is_there(preset)}


def without(preset: Preset, effect: str) -> Preset:
    """The preset with this effect taken away; the preset itself where it has no such effect."""
    mute = effects(preset).get(effect)
    return preset if mute is None else mute(preset)


def clips(preset: Preset) -> bool:
    """Whether inputs are clipped at an input range, which no variant is without.

    Every other number of the converters is in units of the input range: a range that lets everything through would
    change DAC steps, noise and ADC as well. So clipping is told by itself, as what is left when all else is muted.
    """
    return isinstance(preset.periphery, Converters)


def can_take_exact_inputs(preset: Preset) -> bool:
    """Whether inputs can be spared clipping and rounding while everything else stays in units of the input range.

    Not where a vector is divided by its own maximum or repeated, or has noise before the product.
    """
    periphery = preset.periphery
    return (
        isinstance(periphery, Converters)
        and periphery.noise_management != "abs_max"
        and periphery.bound_management == "none"
        and periphery.input_noise == 0
    )


def only(preset: Preset, effect: str) -> Preset:
    """The preset with this effect alone, beside clipping where inputs are clipped; CLIPPING mutes all effects."""
    for name, mute in effects(preset).items():
        if name != effect:
            preset = mute(preset)
    return preset


def _stored(section: str) -> tuple[Callable[[Preset], bool], Mute]:
    """For an effect on stored weights: its section at strength 0, or where that is no way to keep them, its absence."""

    def check(preset: Preset) -> bool:
        return getattr(preset, section).model != "none"

    def mute(preset: Preset) -> Preset:
        found = getattr(preset, section)
        names = STRENGTHS[section].get(found.model)
        silent = (
            _ABSENT[section]
            if names is None
            else found.model_copy(update={name: _zero(getattr(found, name)) for name in names})
        )
        return _with(preset, section, silent)

    return check, mute


def _zero(value: Any) -> Any:
    return tuple(_zero(item) for item in value) if isinstance(value, tuple) else 0.0


def _with(preset: Preset, section: str, value: Any) -> Preset:
    return preset.model_copy(update={section: value})


def _periphery(is_there: Callable[[Converters], bool], **muted: Any) -> tuple[Callable[[Preset], bool], Mute]:
    def check(preset: Preset) -> bool:
        return isinstance(preset.periphery, Converters) and is_there(preset.periphery)

    def mute(preset: Preset) -> Preset:
        return _with(preset, "periphery", preset.periphery.model_copy(update=muted))

    return check, mute


# What a model's strength is made of. Not listed: models that replace the programmed state, as deviation_at_times does.
STRENGTHS: dict[str, dict[str, tuple[str, ...]]] = {
    "programming": {
        "polynomial": ("coefficients_microsiemens",),
        "linear": ("intercept_microsiemens", "slope"),
        "relative_gaussian": ("sigma_c",),
        "additive_gaussian": ("sigma_microsiemens",),
    },
    "drift": {
        "log_linear_exponent": (
            *("nu_mean_slope", "nu_mean_intercept", "nu_mean_max", "nu_mean_min"),
            *("nu_std_slope", "nu_std_intercept", "nu_std_max", "nu_std_min"),
        ),
        "constant_exponent": ("nu_mean", "nu_std"),
        "tabulated_exponent": ("nu_mean", "nu_std"),
        "piecewise_exponent": (
            *("nu_mean_log_slope", "nu_mean_log_intercept", "nu_mean_log_max", "nu_mean_log_min"),
            *("nu_std_log_slope", "nu_std_log_intercept", "nu_std_log_max", "nu_std_log_min"),
            *("nu_mean_coefficients", "nu_std_coefficients"),
        ),
        "relaxation": ("shift_slope_microsiemens", "std_slope_microsiemens", "std_intercept_microsiemens"),
    },
    "read": {
        "flicker": ("q_coefficient", "q_max"),
        "piecewise_flicker": ("q_log_slope", "q_log_intercept", "q_log_max", "q_log_min", "q_coefficients"),
        "proportional_flicker": ("strength_microsiemens",),
        "logarithmic_flicker": ("strength_microsiemens",),
    },
}
_ABSENT = {
    "programming": NoProgrammingNoise(model="none"),
    "drift": NoDrift(model="none"),
    "read": NoReadNoise(model="none"),
}
_EFFECTS: dict[str, tuple[Callable[[Preset], bool], Mute]] = {
    "programming noise": _stored("programming"),
    "drift": _stored("drift"),
    "read noise": _stored("read"),
    "faulty devices": (
        lambda preset: not isinstance(preset.faults, NoFaults),
        lambda preset: _with(preset, "faults", NO_FAULTS),
    ),
    "DAC": _periphery(lambda periphery: periphery.dac_bits > 0, dac_bits=0),
    "input noise": _periphery(lambda periphery: periphery.input_noise > 0, input_noise=0.0),
    "IR drop": _periphery(lambda periphery: periphery.ir_drop > 0, ir_drop=0.0),
    "weight read noise (periphery)": _periphery(
        lambda periphery: periphery.read_noise > 0, read_noise_kind="none", read_noise=0.0
    ),
    "output noise": _periphery(lambda periphery: periphery.output_noise > 0, output_noise=0.0),
    # Without the bound nothing is cut, so there is nothing for bound management to repeat. An ADC of unlimited
    # resolution still cuts.
    "ADC": _periphery(
        lambda periphery: periphery.adc_bits > 0 or periphery.adc_bound < _NO_BOUND,
        **{"adc_bits": 0, "adc_bound": _NO_BOUND, "adc_range": "fixed", "bound_management": "none"},
    ),
}
