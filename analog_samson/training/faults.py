"""What is wrong with training options: values out of range, unknown names, options without effect, contradictions."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from analog_samson.chip.device import changes_weights, changes_with_time
from analog_samson.errors import did_you_mean
from analog_samson.presets.schema import Preset
from analog_samson.sharpness.methods import training_methods
from analog_samson.sharpness.selection import SELECTIONS
from analog_samson.training.schedule import SCHEDULES, Schedule

if TYPE_CHECKING:
    from analog_samson.training.options import TrainOptions

_WHOLE = ("epochs", "batch_size", "step_epochs", "ascent_every")
_FLAGS = ("nesterov", "ascent_sync", "augment", "bf16", "channels_last")
_POSITIVE, _NOT_NEGATIVE = "a finite number above 0", "a finite number of at least 0"
_SHARE, _PART = "a number from 0 to 1", "a number above 0, up to 1"
_RANGES = (
    ("learning_rate", 0, math.inf, _POSITIVE),
    ("momentum", 0, 1, _SHARE),
    ("weight_decay", 0, math.inf, _NOT_NEGATIVE),
    ("warmup_epochs", 0, math.inf, _NOT_NEGATIVE),
    ("step_factor", 0, 1, _SHARE),
    ("rho", 0, math.inf, _NOT_NEGATIVE),
    ("eta", 0, math.inf, _NOT_NEGATIVE),
    ("sigma", 0, math.inf, _NOT_NEGATIVE),
    ("perturbed_share", 0, 1, _PART),
    ("ramp_epochs", 0, math.inf, _POSITIVE),
    ("ascent_fraction", 0, 1, _PART),
    ("clip", 0, math.inf, _POSITIVE),
    ("clip_std", 0, math.inf, _POSITIVE),
    ("noise", 0, math.inf, "sigma_G / G_max, a finite number of at least 0"),
    ("noise_sigma_c", 0, math.inf, "a relative error, a finite number of at least 0"),
    ("noise_time", 0, math.inf, "seconds, a finite number of at least 0"),
    ("ema_decay", 0, 1, "a number between 0 and 1"),
    ("distill_weight", 0, 1, _PART),
    ("distill_temperature", 0, math.inf, _POSITIVE),
    ("label_smoothing", 0, 1, _SHARE),
)
_ABOVE_ZERO = (
    *("learning_rate", "clip", "clip_std", "perturbed_share", "ramp_epochs", "ascent_fraction"),
    *("ema_decay", "distill_weight", "distill_temperature"),
)
NUMBERS = (*(name for name, *_ in _RANGES), "p")

_OF_STEPS = {"step_epochs": Schedule.step_epochs, "step_factor": Schedule.step_factor}  # their defaults
_NOISES = ("noise", "noise_sigma_c", "noise_preset")
_ASCENT = ("ascent_every", "ascent_fraction", "ascent_sync")
_RANDOM = ("sigma", "perturbed_share")
_WITHOUT_USE = {
    "sgd": ("rho", "p", "eta", "selection", "ramp_epochs", *_RANDOM, *_ASCENT),
    "sam": ("p", "eta", *_RANDOM),
    "asam": ("p", *_RANDOM),
    "samson": _RANDOM,
    "rwp": ("p", "eta", *_ASCENT),
}


def option_faults(options: "TrainOptions") -> Iterator[str]:
    """One line for everything that is wrong."""
    yield from _range_faults(options)
    yield from _flag_faults(options)
    yield from _choice_faults(options)
    yield from _without_effect(options)
    yield from _conflicts(options)
    yield from _noise_faults(options)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _range_faults(options: "TrainOptions") -> Iterator[str]:
    if not isinstance(options.seed, int) or isinstance(options.seed, bool):
        yield f"seed: expected a whole number, got {options.seed!r}"
    for name in _WHOLE:
        value = getattr(options, name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            yield f"{name}: expected a whole number of at least 1, got {value!r}"
    for name, low, high, text in _RANGES:
        value = getattr(options, name)
        if value is not None and not (_is_number(value) and low <= value <= high and value < math.inf):
            yield f"{name}: expected {text}, got {value!r}"
    for name in _ABOVE_ZERO:
        if getattr(options, name) == 0:
            yield f"{name}: expected a number above 0, got 0"
    if options.ema_decay == 1:
        yield "ema_decay: expected a number below 1, got 1; the average would stay at the first step"
    if options.p is not None and not (_is_number(options.p) and options.p >= 1):
        yield f"p: expected a number of at least 1, or inf, got {options.p!r}"


def _flag_faults(options: "TrainOptions") -> Iterator[str]:
    for name in _FLAGS:
        if not isinstance(getattr(options, name), bool):
            yield f"{name}: expected True or False, got {getattr(options, name)!r}"


def _choice_faults(options: "TrainOptions") -> Iterator[str]:
    choices = {"method": tuple(training_methods()), "schedule": tuple(SCHEDULES), "selection": tuple(SELECTIONS)}
    for name, known in choices.items():
        value = getattr(options, name)
        if value is not None and value not in known:
            yield f"{name}: expected one of {', '.join(known)}, got {value!r}{did_you_mean(str(value), known)}"


def _without_effect(options: "TrainOptions") -> Iterator[str]:
    for name in _WITHOUT_USE.get(options.method, ()):
        value = getattr(options, name)
        if value is not None and value is not False:
            yield f"{name}: has no effect with method {options.method}; leave it out or choose another method"
    for name, usual in _OF_STEPS.items():
        if options.schedule != "step" and getattr(options, name) != usual:
            yield f"{name}: has no effect with schedule {options.schedule}; leave it out or choose schedule step"
    if options.distill_weight == 1 and options.label_smoothing:
        yield "label_smoothing: has no effect where distill_weight is 1, for the labels are not used; leave it out"


def _conflicts(options: "TrainOptions") -> Iterator[str]:
    """Options that contradict each other."""
    if options.clip is not None and options.clip_std is not None:
        yield "clip and clip_std: both limit the weights; give one of them"
    if options.method == "rwp" and options.rho is not None and options.sigma is not None:
        yield "rho and sigma: both say how far weights move; give one of them"
    if options.nesterov and options.momentum == 0:
        yield "nesterov: needs a momentum above 0"
    if options.schedule == "onecycle" and options.warmup_epochs:
        yield "warmup_epochs: the onecycle schedule has a rise of its own; leave it out"
    elif _reaches(options.warmup_epochs, options.epochs):
        yield f"warmup_epochs: {options.warmup_epochs:g} of {options.epochs} epochs; expected fewer than epochs"
    if _is_number(options.ramp_epochs) and _reaches(options.ramp_epochs, options.epochs, beyond=True):
        yield f"ramp_epochs: {options.ramp_epochs:g} of {options.epochs} epochs; expected at most epochs"
    part, whole = options.ascent_fraction, options.batch_size
    if part is not None and _is_number(part) and _is_number(whole) and 0 < part * whole < 2:
        yield (
            f"ascent_fraction: {part:g} of {whole} images a step is less than two; "
            "choose a larger part or larger batches"
        )


def _reaches(value: object, epochs: object, *, beyond: bool = False) -> bool:
    """Whether a number of epochs is as large as all of them, or larger still."""
    if not (_is_number(value) and _is_number(epochs)):
        return False
    assert isinstance(value, int | float)
    assert isinstance(epochs, int | float)
    return (value > epochs > 0) if beyond else (value >= epochs > 0)


def _noise_faults(options: "TrainOptions") -> Iterator[str]:
    preset = options.noise_preset
    if preset is not None and not isinstance(preset, Preset):
        yield f"noise_preset: expected a preset (see load_preset), got {preset!r}"
    elif preset is None:
        if options.noise_time is not None:
            yield "noise_time: has no effect without noise_preset; leave it out or name a preset"
    elif not changes_weights(preset):
        yield f"noise_preset: has no effect, for {preset.name} stores every weight exactly; choose another preset"
    elif options.noise_time is not None and not changes_with_time(preset):
        yield f"noise_time: has no effect, for weights on {preset.name} do not change with time; leave it out"
    given = [name for name in _NOISES if getattr(options, name) is not None]
    if len(given) > 1:
        yield f"{' and '.join(given)}: each puts noise on the weights of every forward; give one of them"
