"""What updates the weights of a training."""

from typing import Any

import torch
from torch import nn

from analog_samson.training.hardware_aware import HardwareForward
from analog_samson.training.options import TrainOptions


def make_optimizer(
    model: nn.Module, options: TrainOptions, hardware: HardwareForward | None = None
) -> torch.optim.Optimizer:
    """The optimizer of the trained parameters, and of the input ranges without weight decay."""
    groups: list[dict[str, Any]] = [{"params": [one for one in model.parameters() if one.requires_grad]}]
    if hardware is not None:
        groups.append({"params": list(hardware.ranges.values()), "weight_decay": 0.0})
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=options.learning_rate, weight_decay=options.weight_decay)
    return torch.optim.SGD(
        groups,
        lr=options.learning_rate,
        momentum=options.momentum,
        nesterov=options.nesterov,
        weight_decay=options.weight_decay,
    )
