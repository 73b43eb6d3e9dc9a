"""Distillation: the network also learns the answers of a digital teacher, right and wrong ones (Hinton et al. 2015)."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analog_samson.data import Normalization
from analog_samson.errors import OptionError, list_faults
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.training.options import TrainOptions

DEFAULT_WEIGHT, DEFAULT_TEMPERATURE = 0.5, 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Teacher:
    """A trained network and the normalization of its input. It is not changed, but for the layout of its memory."""

    model: nn.Module
    normalization: Normalization


class TeacherOnDevice:
    """A teacher that takes the batches of the network it teaches, whatever their normalization."""

    def __init__(
        self,
        teacher: Teacher,
        normalization: Normalization,
        *,
        device: torch.device,
        channels_last: bool,
        bf16: bool,
    ) -> None:
        layout: dict[str, Any] = {"memory_format": torch.channels_last} if channels_last else {}
        self.model = teacher.model.to(device, **layout)
        self._bf16 = bf16
        self._change = _change_of(normalization, teacher.normalization, device)

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        """Logits (B, classes), float32, of normalised images (B, C, H, W). Runs in eval mode; draws nothing."""
        if self._change is not None:
            factor, shift = self._change
            x = x * factor + shift
        with eval_mode(self.model), torch.autocast(x.device.type, torch.bfloat16, enabled=self._bf16):
            return self.model(x).float()


def _change_of(given: Normalization, wanted: Normalization, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """Factor and shift (1, C, 1, 1) from one normalization to another; None if they are the same."""
    if given == wanted:
        return None
    (mean, std), (other_mean, other_std) = (
        (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (one.mean, one.std))
        for one in (given, wanted)
    )
    factor, shift = std / other_std, (mean - other_mean) / other_std
    return factor.float().to(device), shift.float().to(device)


def with_distillation(options: TrainOptions, teacher: Teacher | None) -> TrainOptions:
    """The options with what a teacher needs; refuses a teacher's options without one."""
    if teacher is None:
        idle = [name for name in ("distill_weight", "distill_temperature") if getattr(options, name) is not None]
        if idle:
            faults = [f"{name}: has no effect without a teacher to distill from; leave it out" for name in idle]
            raise OptionError(list_faults("training options", faults))
        return options
    weight, temperature = options.distill_weight, options.distill_temperature
    return options.replace(
        distill_weight=DEFAULT_WEIGHT if weight is None else weight,
        distill_temperature=DEFAULT_TEMPERATURE if temperature is None else temperature,
    )


def distillation_loss(logits: Tensor, soft: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(soft / T) || softmax(logits / T)), the mean over the batch [nats], 0-d.

    logits, soft: (B, classes) of the network and of its teacher. T^2 keeps the size of the gradient as T grows.

    >>> logits = torch.tensor([[1.0, 0.0]])
    >>> distillation_loss(logits, logits, 4.0).item()
    0.0
    """
    wanted, found = (F.log_softmax(values / temperature, dim=1) for values in (soft, logits))
    return temperature**2 * F.kl_div(found, wanted, reduction="batchmean", log_target=True)
