"""The arms of the study: which options of a training each method has, and what its size is."""

import math
from dataclasses import dataclass, field
from typing import Any

from analog_samson.presets import load_preset
from analog_samson.training.options import TrainOptions

CLIPS = (0.1, 0.15, 0.2, 0.3, 0.4)
RISES = (0.05, 0.126, 0.315, 0.79, 2.0, 5.0)  # of the loss [nats], by one ascent step
WIDER = 2.51  # the ratio of neighbours in RISES, and of a value beyond either end
PRESET = load_preset("pcm_rasch_2023")
DAY = 86400.0


@dataclass(frozen=True)
class Arm:
    """A method.

    Attributes:
        title: For tables.
        given: Options of the training besides size and clipping.
        size: The option that its loss rise decides; None: it has none.
    """

    title: str
    given: dict[str, Any] = field(default_factory=dict)
    size: str | None = None


ARMS = {
    "sgd": Arm("SGD"),
    "asam": Arm("ASAM", {"method": "asam"}, "rho"),
    "samson_inf": Arm("SAMSON p = inf", {"method": "samson", "p": math.inf}, "rho"),
    "hardware_aware": Arm("hardware-aware", {"hardware_aware": PRESET, "noise_preset": PRESET, "noise_time": DAY}),
    "sam": Arm("SAM", {"method": "sam"}, "rho"),
    "samson_2": Arm("SAMSON p = 2", {"method": "samson", "p": 2.0}, "rho"),
    "rwp": Arm("random weight perturbation", {"method": "rwp"}, "sigma"),
    "noise": Arm("additive noise", {}, "noise"),
    "preset_noise": Arm("weight noise of the preset", {"noise_preset": PRESET, "noise_time": DAY}),
}
SAME_WHEN_CLIPPED = {"samson_inf": "asam"}  # by identity, with another radius


@dataclass(frozen=True)
class Candidate:
    """One training: an arm with its clipping and the rise that decides its size, and a seed."""

    arm: str
    clip: float | None = None
    rise: float | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        clip = "unclipped" if self.clip is None else f"clip{self.clip:g}"
        return "-".join([self.arm, clip, *([] if self.rise is None else [f"rise{self.rise:g}"]), f"seed{self.seed}"])

    @property
    def start(self) -> int:
        """Which start network the training begins at."""
        return self.seed // 5

    def options(self, size: float | None) -> TrainOptions:
        """Those of its fine-tuning; size: that of the perturbation or noise."""
        arm = ARMS[self.arm]
        sized = {} if arm.size is None else {arm.size: size}
        return TrainOptions(
            seed=self.seed,
            epochs=1,
            batch_size=128,
            learning_rate=0.02,
            schedule="onecycle",
            channels_last=True,
            clip=self.clip,
            **arm.given,
            **sized,
        )


def start_options(seed: int) -> TrainOptions:
    """Those of a start network."""
    return TrainOptions(
        seed=seed, epochs=24, batch_size=128, learning_rate=0.1, schedule="onecycle", channels_last=True
    )
