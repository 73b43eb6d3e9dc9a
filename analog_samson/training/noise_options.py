"""The options of a training that limit the weights on the crossbar, or put noise on them."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from analog_samson.chip.device import changes_weights, changes_with_time
from analog_samson.errors import OptionError
from analog_samson.options import Options, Shown, Written
from analog_samson.presets.schema import Converters, Preset
from analog_samson.presets.search import load_preset
from analog_samson.units import format_duration, parse_duration

HARDWARE = "Weights on the hardware"
DEFAULT_NOISE_SECONDS = 86400.0  # a day after programming
Positive = Annotated[float | None, Field(gt=0, allow_inf_nan=False)]
Size = Annotated[float | None, Field(ge=0, allow_inf_nan=False)]
_NOISES = ("noise", "noise_sigma_c", "noise_preset")


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


class HardwareOptions(Options):
    """Clipping and noise of the weights that are programmed on a crossbar; None is off."""

    clip: Annotated[
        Positive,
        Field(description="Clip crossbar weights to +-CLIP after each update (the paper: 0.2)."),
        Shown(panel=HARDWARE, default="off"),
    ] = None
    clip_std: Annotated[
        Positive,
        Field(description="Clip weights to +-ALPHA standard deviations of their layer (the paper: 2)."),
        Shown(panel=HARDWARE, default="off", flags=("--clip-std", "--alpha"), metavar="ALPHA"),
    ] = None
    noise: Annotated[
        Size,
        Field(description="Gaussian weight noise in every forward, relative to the largest weight of a layer (eq. 9)."),
        Written(parse_ratio, metavar="RATIO"),
        Shown(panel=HARDWARE, default="off; the paper: 0.94/25", unit="sigma_G / G_max"),
    ] = None
    noise_sigma_c: Annotated[
        Size,
        Field(description="Multiply each weight by N(1, sigma_c^2) in every forward (eq. 8)."),
        Shown(panel=HARDWARE, default="off"),
    ] = None
    noise_preset: Annotated[
        Preset | None,
        Field(description="Hardware preset, by name or TOML file: every forward sees the weights of another chip."),
        Written(load_preset, lambda preset: preset.name, metavar="PRESET"),
        Shown(panel=HARDWARE, default="off"),
    ] = None
    noise_time: Annotated[
        Size,
        Field(description="Time since those chips were programmed (units s m h d w y)."),
        Written(parse_duration, format_duration, metavar="TIME"),
        Shown(panel=HARDWARE, default="1d, if weights drift", unit="seconds"),
    ] = None

    hardware_aware: Annotated[
        Preset | None,
        Field(description="Hardware preset whose converters every product passes, with input ranges that are learned."),
        Written(load_preset, lambda preset: preset.name, metavar="PRESET"),
        Shown(panel=HARDWARE, default="off"),
    ] = None

    def problems(self) -> Iterator[str]:
        yield from super().problems()
        if self.hardware_aware is not None and not isinstance(self.hardware_aware.periphery, Converters):
            yield (
                f"hardware_aware: has no effect, for products of {self.hardware_aware.name} are exact; choose a preset "
                "with converters, or noise_preset for its weight noise"
            )
        if self.clip is not None and self.clip_std is not None:
            yield "clip and clip_std: both limit the weights; give one of them"
        preset = self.noise_preset
        if preset is None:
            if self.noise_time is not None:
                yield "noise_time: has no effect without noise_preset; leave it out or name a preset"
        elif not changes_weights(preset):
            yield f"noise_preset: has no effect, for {preset.name} stores every weight exactly; choose another preset"
        elif self.noise_time is not None and not changes_with_time(preset):
            yield f"noise_time: has no effect, for weights on {preset.name} do not change with time; leave it out"
        given = [name for name in _NOISES if getattr(self, name) is not None]
        if len(given) > 1:
            yield f"{' and '.join(given)}: each puts noise on the weights of every forward; give one of them"

    @property
    def clips(self) -> bool:
        """Whether weights on the crossbar are clipped after each update."""
        return self.clip is not None or self.clip_std is not None

    @property
    def is_noisy(self) -> bool:
        """Whether weights on the crossbar are trained under noise."""
        return any(getattr(self, name) is not None for name in _NOISES)

    def noise_seconds(self) -> float:
        """How long ago the chips of `noise_preset` were programmed."""
        return DEFAULT_NOISE_SECONDS if self.noise_time is None else self.noise_time

    def resolved_hardware(self) -> dict[str, Any]:
        """Name and fingerprint of each preset, and the time of its noise, as plain values."""
        given = {name: getattr(self, name) for name in ("noise_preset", "hardware_aware")}
        stated: dict[str, Any] = {}
        for name, preset in given.items():
            if preset is not None:
                stated |= {name: preset.name, f"{name}_sha256": preset.fingerprint}
        if (noise := self.noise_preset) is not None:
            stated["noise_time"] = self.noise_seconds() if changes_with_time(noise) else None
        return stated
