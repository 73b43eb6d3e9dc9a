"""Everything that decides the numbers of a simulation: options of `simulate`, `compare` and `sweep`, declared once."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from analog_samson.chip.choices import NO_SCALING, OUTPUT_ERROR, Engine, NoiseDevice
from analog_samson.options import (
    BUDGET,
    CALIBRATION,
    DATA,
    HARDWARE,
    MACHINE,
    NETWORK,
    OUTPUT,
    STATISTICS,
    Count,
    Options,
    Seed,
    Written,
    option,
)
from analog_samson.simulation.chip_options import RangeMethod, ReadNoiseChoice, ScalingMethod
from analog_samson.simulation.hardware_options import KeepDigital, LayerPresets, OnChip, PresetName
from analog_samson.simulation.sigmas import Sigmas
from analog_samson.units import format_duration, format_times, parse_duration, parse_times

PRESET = "pcm_nandakumar_2019"
DEFAULT_TIMES = (1.0, 3600.0, 86400.0, 31536000.0)
VOLATILE = ("device", "threads")
LEAST_HALFWIDTH = 1e-4  # points; a million images move an accuracy in steps of so much
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Times = Annotated[tuple[Seconds, ...], Field(min_length=1), Written(parse_times, format_times, "TIMES")]
MaybeCount = Annotated[int | None, Field(ge=1)]
Threads = Annotated[MaybeCount, option("CPU threads.", MACHINE, "N", default="torch's own choice")]
ModelName = Annotated[
    str | None,
    option(
        "NAME, torchvision:NAME, timm:NAME, package.module:callable, or hf:DIR with its weights.",
        NETWORK,
        "NAME",
        default="the checkpoint's",
    ),
]
SeedOption = Annotated[Seed, option("Equal seeds give equal chips, whatever the checkpoint.", STATISTICS)]
Device = Annotated[str, option("cpu, cuda, cuda:N or auto.", MACHINE, "DEVICE")]


def pilot_problems(instances: int, max_instances: int) -> list[str]:
    """What is wrong with the number of chips that decide on the number of further ones."""
    if 2 <= instances <= max_instances:
        return []
    return [f"instances: a pilot of 2 to max_instances ({max_instances}) is needed, got {instances}"]


def write_list(values: tuple[Any, ...]) -> str:
    return ",".join(map(str, values))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",")) if text.strip() not in ("", "none") else ()


_OF_CONVERTERS = ("input_range", "input_scaling")
_OF_CALIBRATION_IMAGES = ("calibration_data", "calibration_limit", "calibration_augment")


class SimulationOptions(Options):
    """What every simulation takes, whatever the number of its networks, presets and seeds."""

    PANELS = (NETWORK, DATA, HARDWARE, STATISTICS, CALIBRATION, BUDGET, MACHINE, OUTPUT)

    data: Annotated[
        str,
        option(
            "Test data: digits, cifar10:DIR, imagenet:DIR, folder:DIR, shards:DIR, npz:FILE, text:FILE, pairs:FILE, "
            "audio:DIR, segmentation:DIR.",
            DATA,
            "DATA",
        ),
    ]
    limit: Annotated[MaybeCount, option("Use the first N test images.", DATA, default="all")] = None
    normalization: Annotated[
        str | None,
        option(
            "Of the input: imagenet, cifar10, unit, ... or m1,m2,m3/s1,s2,s3.",
            DATA,
            "NAME",
            default="the checkpoint's, the model's or the data's",
        ),
    ] = None
    task: Annotated[
        str | None,
        option(
            "How outputs are scored: classification, regression, ... or package.module:callable.",
            DATA,
            "TASK",
            default="what the network is made for, else classification",
        ),
    ] = None
    batch_size: Annotated[Count, option("Images in a batch.", DATA)] = 250
    keep_digital: KeepDigital = ()
    on_chip: OnChip = ()
    layer_presets: LayerPresets = None
    engine: Annotated[
        Engine, option("What multiplies: fast, or aihwkit's own tiles (slow, for comparison).", HARDWARE)
    ] = "fast"
    read_noise: ReadNoiseChoice = "per_condition"
    bf16: Annotated[
        bool, option("Compute products of perfect converters in bfloat16, in about half the time.", HARDWARE)
    ] = False
    times: Annotated[Times, option("Times after programming (units s m h d w y).", STATISTICS)] = DEFAULT_TIMES
    instances: Annotated[Count, option("Simulated chips, each programmed once.", STATISTICS)] = 10
    target_halfwidth: Annotated[
        float | None,
        option(
            "Add chips until each 95 % interval is at most +- this.",
            STATISTICS,
            "X",
            default="off",
            unit="percentage points",
            ge=LEAST_HALFWIDTH,
            allow_inf_nan=False,
        ),
    ] = None
    max_instances: Annotated[Count, option("At most so many chips.", STATISTICS, needs="target_halfwidth")] = 100
    images: Annotated[
        Literal["all", "adaptive"],
        option(
            "Measure each chip on all test images, or estimate it on a tenth of them (at most 1,000) that tell most.",
            STATISTICS,
        ),
    ] = "all"
    sigmas: Sigmas = ()
    calibrate: Annotated[
        tuple[Literal["adabs", "affine"], ...],
        option(
            "Also measure with the network adapted to each chip: adabs (batch-norm statistics) or affine (a factor and "
            "an offset for each output column).",
            CALIBRATION,
            default="none",
        ),
        Written(_names, write_list, "METHODS"),
    ] = ()
    calibrate_at: Annotated[
        Seconds | None,
        option(
            "Also calibrate at this time and test at each later one.",
            CALIBRATION,
            default="off",
            needs="calibrate",
        ),
        Written(parse_duration, format_duration, "TIME"),
    ] = None
    input_range: RangeMethod = OUTPUT_ERROR
    input_scaling: ScalingMethod = NO_SCALING
    calibration_data: Annotated[
        str | None,
        option("Samples for calibration and input ranges.", CALIBRATION, "DATA", default="training part of --data"),
    ] = None
    calibration_limit: Annotated[MaybeCount, option("Use the first N calibration images.", CALIBRATION)] = 1000
    calibration_augment: Annotated[
        bool,
        option(
            "Crop and flip colour calibration images, as in training.",
            CALIBRATION,
            flags=("--augment-calibration", "--plain-calibration"),
        ),
    ] = True
    device: Device = "cpu"
    noise_device: Annotated[
        NoiseDevice,
        option(
            "Where device noise is drawn: cpu (equal chips on every --device) or cuda (on that GPU; other chips).",
            MACHINE,
        ),
    ] = "cpu"
    threads: Threads = None

    @property
    def preset_names(self) -> tuple[str, ...]:
        """The presets that are simulated."""
        return ()

    def problems(self) -> Iterator[str]:
        at = self.calibrate_at
        if at is not None and not any(time > at for time in self.times):
            yield f"--calibrate-at {format_duration(at)}: --times has no later time; add one, or calibrate earlier"
        if self.target_halfwidth is not None:
            yield from pilot_problems(self.instances, self.max_instances)

    def idle(self, given: Collection[str]) -> Iterator[str]:
        yield from super().idle(given)
        from analog_samson.presets.layers import read_layer_presets
        from analog_samson.presets.schema import Converters
        from analog_samson.presets.search import load_preset

        if "read_noise" in given and all(load_preset(name).read.model == "none" for name in self.preset_names):
            yield f"--read-noise: has no effect on {', '.join(self.preset_names)}, for want of read noise; leave it out"
        calibrating = [name for name in (*_OF_CONVERTERS, *_OF_CALIBRATION_IMAGES) if name in given]
        presets = [load_preset(name) for name in self.preset_names] if calibrating else []
        if calibrating and self.layer_presets is not None:
            presets += read_layer_presets(self.layer_presets).values()
        if any(isinstance(preset.periphery, Converters) for preset in presets):
            return
        names = ", ".join(self.preset_names)
        for name in _OF_CONVERTERS:
            if name in given:
                yield f"{self.typed(name)}: has no effect on {names}, for want of converters; leave it out"
        of_images = [name for name in calibrating if name not in _OF_CONVERTERS]
        if of_images and not (self.calibrate or getattr(self, "error_budget", False)):
            typed = ", ".join(self.typed(name, getattr(self, name)) for name in of_images)
            yield f"{typed}: nothing to calibrate on {names}; give --calibrate adabs too, or leave it out"


class SimulateOptions(SimulationOptions):
    """Everything that decides the numbers of one run; stored whole in its run.toml."""

    NAME = "simulate"

    checkpoint: Annotated[
        str,
        option(
            "Checkpoint: .safetensors, .pt, .pth, .th, zoo:NAME, or hf:DIR for a network of Hugging Face.",
            NETWORK,
            "FILE",
            default="--model hf:DIR",
        ),
    ] = ""
    model: ModelName = None
    label: Annotated[
        str | None, option("Name of the network in tables and figures.", NETWORK, "NAME", default="the file's")
    ] = None
    preset: PresetName = PRESET
    seed: SeedOption = 0
    sigmas: Sigmas = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)

    @model_validator(mode="before")
    @classmethod
    def _network_of_a_folder(cls, values: Any) -> Any:
        """`--model hf:DIR` names network and weights at once: it is stored as the checkpoint."""
        if not isinstance(values, Mapping) or values.get("checkpoint"):
            return values
        named = str(values.get("model") or "").startswith("hf:")
        return {**values, "checkpoint": values["model"], "model": None} if named else values

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if not self.checkpoint:
            yield "--checkpoint: missing; give FILE, zoo:NAME or hf:DIR, or a network with weights as --model hf:DIR"
        elif self.checkpoint.startswith("hf:") and self.model is not None:
            yield f"--model {self.model}: {self.checkpoint} is a network already; leave it out"

    @property
    def preset_names(self) -> tuple[str, ...]:
        return (self.preset,)


class ErrorBudgetOptions(Options):
    """On what an error budget is evaluated. Intervals are over chips, so chips tell more than images."""

    NAME = "error budget"

    error_budget_time: Annotated[
        float | None,
        option(
            "Time after programming.",
            BUDGET,
            default="the last of --times",
            needs="error_budget",
            ge=0,
            allow_inf_nan=False,
        ),
        Written(parse_duration, format_duration, "TIME"),
    ] = None
    error_budget_instances: Annotated[
        Count, option("At most so many chips of the run.", BUDGET, needs="error_budget")
    ] = 10
    error_budget_limit: Annotated[MaybeCount, option("At most so many test images.", BUDGET, needs="error_budget")] = (
        1000
    )


class WithErrorBudget(ErrorBudgetOptions):
    """For commands that evaluate an error budget where they are told to."""

    error_budget: Annotated[
        bool, option("Also evaluate each effect, layer and mitigation on the same chips.", BUDGET)
    ] = False

    @property
    def budget(self) -> ErrorBudgetOptions | None:
        """On what the error budget is evaluated; None where none is asked for."""
        return self.part(ErrorBudgetOptions) if self.error_budget else None
