"""What a training run is: every option that decides its numbers."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from analog_samson.data import Normalization
from analog_samson.errors import OptionError, did_you_mean, list_faults
from analog_samson.sharpness.perturb import Ascent, plan_ascent
from analog_samson.sharpness.scale import DEFAULT_RHO
from analog_samson.sharpness.selection import SELECTIONS
from analog_samson.training.schedule import SCHEDULES, Schedule

METHODS = ("sgd", *DEFAULT_RHO)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of `fit`, checked when made: one OptionError lists every fault.

    seed: names every random draw (order of the images, augmentation, noise, dropout).
    epochs, batch_size: passes over the data, images a step. learning_rate: the highest of the schedule.
    momentum, nesterov, weight_decay: of SGD. schedule, warmup_epochs, step_epochs, step_factor: see `Schedule`.
    method: sgd, sam, asam or samson. rho, p, eta, selection: of the last three; None takes the method's default.
    clip: weights of convolutions and linear layers are cut to [-clip, clip] after each update (Algorithm 1).
    clip_std: they are cut to so many standard deviations of their layer instead (alpha).
    noise: sigma_G / G_max; every forward sees weights with fresh Gaussian noise of noise * max|w| (eq. 9).
    label_smoothing: 0 is off. augment: random crops and flips, for colour images only.
    normalization: None takes what suits the data. bf16: bfloat16 autocast. channels_last: memory layout.
    """

    seed: int
    epochs: int = 200
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    step_epochs: int = 50
    step_factor: float = 0.1
    method: str = "sgd"
    rho: float | None = None
    p: float | None = None
    eta: float | None = None
    selection: str | None = None
    clip: float | None = None
    clip_std: float | None = None
    noise: float | None = None
    label_smoothing: float = 0.0
    augment: bool = True
    normalization: Normalization | None = None
    bf16: bool = False
    channels_last: bool = False

    def __post_init__(self) -> None:
        faults = [*_range_faults(self), *_choice_faults(self), *_conflicts(self)]
        if faults:
            raise OptionError(list_faults("training options", faults))

    def learning_rates(self) -> Schedule:
        return Schedule(
            kind=self.schedule,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            warmup_epochs=self.warmup_epochs,
            step_epochs=self.step_epochs,
            step_factor=self.step_factor,
        )

    def ascent(self, model: nn.Module) -> Ascent | None:
        """The climb to the worst nearby weights of `model`; None for plain SGD."""
        if self.method == "sgd":
            return None
        return plan_ascent(
            model,
            method=self.method,
            rho=self.rho,
            p=math.inf if self.p is None else self.p,
            eta=self.eta,
            selection=self.selection or "weights_only",
        )

    def resolved(self) -> dict[str, Any]:
        """Plain values by name, with the defaults that None stands for filled in; None is left where off."""
        values = asdict(self) | {"normalization": self.normalization and self.normalization.text()}
        if self.method != "sgd":
            selection = self.selection or "weights_only"
            values["selection"] = selection
            values["rho"] = DEFAULT_RHO[self.method] if self.rho is None else self.rho
            values["eta"] = SELECTIONS[selection].eta if self.eta is None else self.eta
        if self.method == "samson":
            values["p"] = math.inf if self.p is None else self.p
        numbers = {name: float(values[name]) for name in _NUMBERS if values[name] is not None}
        return values | numbers  # 2 and 2.0 are the same option


_NUMBERS = (
    *("learning_rate", "momentum", "weight_decay", "warmup_epochs", "step_factor"),
    *("rho", "p", "eta", "clip", "clip_std", "noise", "label_smoothing"),
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _range_faults(options: TrainOptions) -> Iterator[str]:
    for name in ("epochs", "batch_size", "step_epochs"):
        value = getattr(options, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            yield f"{name}: expected a whole number of at least 1, got {value!r}"
    for name, low, high, text in _RANGES:
        value = getattr(options, name)
        if value is not None and not (_is_number(value) and low <= value <= high and value < math.inf):
            yield f"{name}: expected {text}, got {value!r}"
    for name in ("learning_rate", "clip", "clip_std"):
        if getattr(options, name) == 0:
            yield f"{name}: expected a number above 0, got 0"
    if options.p is not None and not (_is_number(options.p) and options.p >= 1):
        yield f"p: expected a number of at least 1, or inf, got {options.p!r}"


_POSITIVE, _NOT_NEGATIVE = "a finite number above 0", "a finite number of at least 0"
_RANGES = (
    ("learning_rate", 0, math.inf, _POSITIVE),
    ("momentum", 0, 1, "a number from 0 to 1"),
    ("weight_decay", 0, math.inf, _NOT_NEGATIVE),
    ("warmup_epochs", 0, math.inf, _NOT_NEGATIVE),
    ("step_factor", 0, 1, "a number from 0 to 1"),
    ("rho", 0, math.inf, _NOT_NEGATIVE),
    ("eta", 0, math.inf, _NOT_NEGATIVE),
    ("clip", 0, math.inf, _POSITIVE),
    ("clip_std", 0, math.inf, _POSITIVE),
    ("noise", 0, math.inf, "sigma_G / G_max, a finite number of at least 0"),
    ("label_smoothing", 0, 1, "a number from 0 to 1"),
)


def _choice_faults(options: TrainOptions) -> Iterator[str]:
    choices = {"method": METHODS, "schedule": tuple(SCHEDULES), "selection": tuple(SELECTIONS)}
    for name, known in choices.items():
        value = getattr(options, name)
        if value is not None and value not in known:
            yield f"{name}: expected one of {', '.join(known)}, got {value!r}{did_you_mean(str(value), known)}"


def _conflicts(options: TrainOptions) -> Iterator[str]:
    """Options that are given and have no effect, or contradict each other."""
    without_use = {"sgd": ("rho", "p", "eta", "selection"), "sam": ("p", "eta"), "asam": ("p",)}
    for name in without_use.get(options.method, ()):
        if getattr(options, name) is not None:
            yield f"{name}: has no effect with method {options.method}; leave it out or choose another method"
    if options.clip is not None and options.clip_std is not None:
        yield "clip and clip_std: both limit the weights; give one of them"
    if options.nesterov and options.momentum == 0:
        yield "nesterov: needs a momentum above 0"
    if options.schedule == "onecycle" and options.warmup_epochs:
        yield "warmup_epochs: the onecycle schedule has a rise of its own; leave it out"
    elif (
        _is_number(options.warmup_epochs) and _is_number(options.epochs) and options.warmup_epochs >= options.epochs > 0
    ):
        yield f"warmup_epochs: {options.warmup_epochs:g} of {options.epochs} epochs; expected fewer than epochs"


def parse_ratio(text: str) -> float:
    """A number, or two as a ratio such as sigma_G / G_max.

    >>> parse_ratio("1/25"), parse_ratio("0.05")
    (0.04, 0.05)
    """
    try:
        above, slash, below = text.partition("/")
        return float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError) as error:
        raise OptionError(f"ratio {text!r}: expected a number such as 0.0376, or a ratio such as 0.94/25") from error
