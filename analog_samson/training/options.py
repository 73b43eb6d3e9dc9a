"""What a training run is: every option that decides its numbers, declared once."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from analog_samson.data import Normalization
from analog_samson.data.normalization import parse_normalization
from analog_samson.options import Count, Seed, Shown, Written
from analog_samson.training.method_options import MethodOptions, Part
from analog_samson.training.noise_options import HardwareOptions, Positive
from analog_samson.training.schedule import Schedule, ScheduleKind

RESULT, DISTILLATION, STEPS, COMPUTING = "Result", "Distillation", "Optimizer and schedule", "Input and computing"
Fraction = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


TrainSeed = Annotated[
    Seed,
    Field(description="Names every random draw: initial weights, order, augmentation, noise, dropout."),
    Shown(panel=COMPUTING),
]


def _by_data(digits: object, scratch: object, tuning: object, transformer: object) -> str:
    return f"by data: digits {digits}; from scratch {scratch}; from a checkpoint {tuning}; hf: {transformer}"


class TrainOptions(HardwareOptions, MethodOptions):
    """Options of `fit`, checked when made; None takes the method's default, or is off."""

    NAME = "training options"

    seed: TrainSeed
    ema_decay: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Keep the moving average of the weights, with this decay a step (0.999)."),
        Shown(panel=RESULT, default="off"),
    ] = None
    distill_weight: Annotated[
        Part,
        Field(description="Weight of the teacher's outputs in the loss; the rest is the labels'."),
        Shown(panel=DISTILLATION, default="0.5"),
    ] = None
    distill_temperature: Annotated[
        Positive,
        Field(description="Softens the outputs of both networks."),
        Shown(panel=DISTILLATION, default="4"),
    ] = None
    epochs: Annotated[
        Count,
        Field(description="Passes over the data."),
        Shown(panel=STEPS, default=_by_data(30, 200, 10, 3)),
    ] = 200
    batch_size: Annotated[
        Count, Field(description="Samples a step."), Shown(panel=STEPS, default=_by_data(64, 128, 128, 16))
    ] = 128
    learning_rate: Annotated[
        float,
        Field(gt=0, allow_inf_nan=False, description="Highest learning rate."),
        Shown(panel=STEPS, default=_by_data(0.05, 0.1, 0.02, 5e-5), flags=("--lr",)),
    ] = 0.1
    optimizer: Annotated[
        Literal["sgd", "adamw"],
        Field(description="What updates the weights."),
        Shown(panel=STEPS, default="by data: hf: adamw; else sgd"),
    ] = "sgd"
    momentum: Annotated[Fraction, Field(description="Of SGD."), Shown(panel=STEPS)] = 0.9
    nesterov: Annotated[bool, Field(description="Nesterov momentum."), Shown(panel=STEPS)] = False
    weight_decay: Annotated[
        NotNegative, Field(description="Weight decay of the optimizer, on every parameter."), Shown(panel=STEPS)
    ] = 5e-4
    schedule: Annotated[
        ScheduleKind,
        Field(description="How the learning rate changes."),
        Shown(panel=STEPS, default=_by_data("cosine", "step", "onecycle", "onecycle")),
    ] = "cosine"
    warmup_epochs: Annotated[
        NotNegative, Field(description="Epochs of linear rise before the schedule."), Shown(panel=STEPS)
    ] = 0.0
    step_epochs: Annotated[
        Count,
        Field(description="Step schedule: epochs between steps."),
        Shown(panel=STEPS, default="a quarter of all"),
    ] = Schedule.step_epochs
    step_factor: Annotated[Fraction, Field(description="Step schedule: factor of a step."), Shown(panel=STEPS)] = (
        Schedule.step_factor
    )
    label_smoothing: Annotated[
        Fraction, Field(description="Label smoothing of classification; 0 is off."), Shown(panel=STEPS)
    ] = 0.0
    augment: Annotated[
        bool, Field(description="Random crops and flips (colour images only)."), Shown(panel=COMPUTING)
    ] = True
    normalization: Annotated[
        Normalization | None,
        Field(
            description="Of the input: imagenet, cifar10, cifar100, digits, unit, half, rgb255 or m1,m2,m3/s1,s2,s3."
        ),
        Written(parse_normalization, Normalization.text, metavar="NAME"),
        Shown(panel=COMPUTING, default="the checkpoint's, the model's or the data's"),
    ] = None
    bf16: Annotated[bool, Field(description="Compute in bfloat16 (autocast)."), Shown(panel=COMPUTING)] = False
    channels_last: Annotated[bool, Field(description="Memory layout; faster with bf16."), Shown(panel=COMPUTING)] = (
        False
    )

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        for name in ("step_epochs", "step_factor"):
            if self.schedule != "step" and getattr(self, name) != getattr(Schedule, name):
                yield f"{name}: has no effect with schedule {self.schedule}; leave it out or choose schedule step"
        if self.distill_weight == 1 and self.label_smoothing:
            yield "label_smoothing: has no effect where distill_weight is 1, for the labels are not used; leave it out"
        yield from self._momentum_problems()
        if self.schedule == "onecycle" and self.warmup_epochs:
            yield "warmup_epochs: the onecycle schedule has a rise of its own; leave it out"
        elif self.warmup_epochs >= self.epochs:
            yield f"warmup_epochs: {self.warmup_epochs:g} of {self.epochs} epochs; expected fewer than epochs"
        if self.ramp_epochs is not None and self.ramp_epochs > self.epochs:
            yield f"ramp_epochs: {self.ramp_epochs:g} of {self.epochs} epochs; expected at most epochs"
        if self.ascent_fraction is not None and self.ascent_fraction * self.batch_size < 2:
            yield (
                f"ascent_fraction: {self.ascent_fraction:g} of {self.batch_size} samples a step is less than two; "
                "choose a larger part or larger batches"
            )

    def _momentum_problems(self) -> Iterator[str]:
        if self.optimizer == "adamw":
            given = {"momentum": self.momentum != 0.9, "nesterov": self.nesterov}
            yield from (f"{name}: has no effect with optimizer adamw; leave it out" for name in given if given[name])
        elif self.nesterov and self.momentum == 0:
            yield "nesterov: needs a momentum above 0"

    def learning_rates(self) -> Schedule:
        """The learning rate over the steps."""
        return Schedule(
            kind=self.schedule,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            warmup_epochs=self.warmup_epochs,
            step_epochs=self.step_epochs,
            step_factor=self.step_factor,
        )

    def resolved(self) -> dict[str, Any]:
        """Plain values by name, with the defaults that None stands for filled in; None is left where off."""
        values = {name: value for name, value in self if name != "perturbation"}
        values |= {"normalization": self.normalization and self.normalization.text()}
        values |= {"ascent_sync": self.ascent_sync or None}
        if self.optimizer == "adamw":
            values |= {"momentum": None, "nesterov": None}
        else:
            values |= {"optimizer": None}  # which trainings of earlier versions do not state
        return values | self.resolved_method() | self.resolved_hardware()
