"""What a training run is: every option that decides its numbers (`faults.py` says which cannot be)."""

import math
from dataclasses import dataclass, fields
from typing import Any

from torch import nn

from analog_samson.chip.device import changes_with_time
from analog_samson.data import Normalization
from analog_samson.errors import OptionError, list_faults
from analog_samson.presets.schema import Preset
from analog_samson.sharpness.methods import find_method, worst_case_methods
from analog_samson.sharpness.perturb import Ascent, plan_ascent
from analog_samson.sharpness.selection import SELECTIONS, selection_name
from analog_samson.training.faults import NUMBERS, option_faults
from analog_samson.training.schedule import Schedule

DEFAULT_SIGMA = 0.01  # of random weight perturbation, in units of the weights
DEFAULT_NOISE_SECONDS = 86400.0  # a day after programming


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Options of `fit`, checked when made: one OptionError lists every fault.

    seed: names every random draw (order of the images, augmentation, noise, dropout).
    epochs, batch_size: passes over the data, images a step. learning_rate: the highest of the schedule.
    momentum, nesterov, weight_decay: of SGD. schedule, warmup_epochs, step_epochs, step_factor: see `Schedule`.
    method: sgd, sam, asam, samson, or rwp (random weight perturbation). None takes the method's default in these:
    rho, p, eta, selection: of the ascent of sam, asam and samson (p: samson alone; eta: asam and samson).
    rho or sigma, selection: of rwp, which takes the gradient at weights moved at random, to a distance rho or by a
      standard deviation sigma each, in units of the weights (T = 1).
    perturbed_share: of rwp; below 1 the gradient is mixed with that of the clean weights, which costs a second pass.
    ramp_epochs: rho or sigma grows linearly from 0 to its full size over so many epochs.
    ascent_every, ascent_fraction: of sam, asam and samson. A climb in every k-th step of an epoch, whose eps the steps
      between use again, in one pass each (see `sharpness.reuse`); a climb from the first part of each batch only.
    ascent_sync: of the same, where several processes train together. Each climbs along the gradient of the whole batch
      instead of its own images, which costs a second exchange of gradients a step; for one process they are the same.
    clip: weights of convolutions and linear layers are cut to [-clip, clip] after each update (Algorithm 1).
    clip_std: they are cut to so many standard deviations of their layer instead (alpha).
    noise: sigma_G / G_max; every forward sees weights with fresh Gaussian noise of noise * max|w| (eq. 9).
    noise_sigma_c: every forward sees weights multiplied by N(1, noise_sigma_c^2), fresh each time (eq. 8).
    noise_preset, noise_time [s]: every forward sees the weights of another chip of that hardware, programmed so long
      ago and compensated for drift (see `robust.preset_noise`).
    ema_decay: the result is the moving average of the weights after every step (see `WeightAverage`).
    distill_weight, distill_temperature: of the teacher that `fit` is given (see `distillation_loss`).
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
    step_epochs: int = Schedule.step_epochs
    step_factor: float = Schedule.step_factor
    method: str = "sgd"
    rho: float | None = None
    p: float | None = None
    eta: float | None = None
    selection: str | None = None
    sigma: float | None = None
    perturbed_share: float | None = None
    ramp_epochs: float | None = None
    ascent_every: int | None = None
    ascent_fraction: float | None = None
    ascent_sync: bool = False
    clip: float | None = None
    clip_std: float | None = None
    noise: float | None = None
    noise_sigma_c: float | None = None
    noise_preset: Preset | None = None
    noise_time: float | None = None
    ema_decay: float | None = None
    distill_weight: float | None = None
    distill_temperature: float | None = None
    label_smoothing: float = 0.0
    augment: bool = True
    normalization: Normalization | None = None
    bf16: bool = False
    channels_last: bool = False

    def __post_init__(self) -> None:
        if self.selection is not None:
            object.__setattr__(self, "selection", selection_name(self.selection))
        faults = list(option_faults(self))
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
        """The climb to the worst nearby weights of `model`; None for the methods without one."""
        if self.method not in worst_case_methods():
            return None
        return plan_ascent(
            model,
            method=self.method,
            rho=self.rho,
            p=math.inf if self.p is None else self.p,
            eta=self.eta,
            selection=self.selection or "weights_only",
        )

    @property
    def clips(self) -> bool:
        """Whether weights on the crossbar are clipped after each update."""
        return self.clip is not None or self.clip_std is not None

    @property
    def moves_weights_only(self) -> bool:
        """Whether weights on the crossbar, and no others, are perturbed."""
        return self.method != "sgd" and (self.selection or "weights_only") == "weights_only"

    @property
    def is_noisy(self) -> bool:
        """Whether weights on the crossbar are trained under noise."""
        return any(noise is not None for noise in (self.noise, self.noise_sigma_c, self.noise_preset))

    def ramp(self, now: float) -> float:
        """The share of its full size that a perturbation has, `now` in epochs since the start.

        >>> [TrainOptions(seed=0, method="samson", ramp_epochs=4).ramp(now) for now in (0, 1, 4, 9)]
        [0.0, 0.25, 1.0, 1.0]
        """
        return 1.0 if self.ramp_epochs is None else min(now / self.ramp_epochs, 1.0)

    def perturbation_size(self) -> dict[str, float]:
        """How far rwp moves the weights, as the argument of `random_perturbation`."""
        if self.rho is not None:
            return {"rho": self.rho}
        return {"sigma": DEFAULT_SIGMA if self.sigma is None else self.sigma}

    def noise_seconds(self) -> float:
        """How long ago the chips of `noise_preset` were programmed."""
        return DEFAULT_NOISE_SECONDS if self.noise_time is None else self.noise_time

    def resolved(self) -> dict[str, Any]:
        """Plain values by name, with the defaults that None stands for filled in; None is left where off."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {
            "normalization": self.normalization and self.normalization.text(),
            "ascent_sync": self.ascent_sync or None,
        }
        for name, default in (self._method_defaults() | self._noise_defaults()).items():
            if values.get(name) is None:
                values[name] = default
        if self.noise_preset is not None:
            values |= {"noise_preset": self.noise_preset.name, "noise_preset_sha256": self.noise_preset.fingerprint}
        numbers = {name: float(values[name]) for name in NUMBERS if values[name] is not None}
        return values | numbers  # 2 and 2.0 are the same option

    def _method_defaults(self) -> dict[str, Any]:
        selection = self.selection or "weights_only"
        if self.method == "rwp":
            return {"selection": selection, "perturbed_share": 1.0, **self.perturbation_size()}
        if self.method not in worst_case_methods():
            return {}
        common = {"selection": selection, "rho": find_method(self.method)().size}
        scale = {} if self.method == "sam" else {"eta": SELECTIONS[selection].eta}
        norm = {"p": math.inf} if self.method == "samson" else {}
        return {**common, **scale, **norm, "ascent_every": 1, "ascent_fraction": 1.0}

    def _noise_defaults(self) -> dict[str, Any]:
        timed = self.noise_preset is not None and changes_with_time(self.noise_preset)
        return {"noise_time": self.noise_seconds()} if timed else {}


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
