"""Hardware-aware training: products of a pass run through converters, and their gradients straight through."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from analog_samson.chip.execute import by_channel
from analog_samson.chip.input_ranges import choose_input_ranges
from analog_samson.chip.matrix import TileMatrix
from analog_samson.chip.rpu import rpu_config
from analog_samson.chip.tile import crossbar_config
from analog_samson.crossbar.layout import Layout
from analog_samson.crossbar.operator import Operator
from analog_samson.crossbar.plan import ConversionPlan
from analog_samson.crossbar.tiled import OnTiles
from analog_samson.crossbar.use import Use
from analog_samson.crossbar.watch import Slot, exchanged
from analog_samson.crossbar.weight import CrossbarWeight, one_by_one
from analog_samson.tasks.batch import Run, feed

# As in aihwkit's preset of that paper, StandardHWATrainingPreset:
DECAY = 1e-3  # what the gradient of a wide range has in addition, relative to the range
INSIDE = 0.95  # share of inputs below a range from which on it is wide


class HardwareForward:
    """The converters of a network in training.

    The values of a product are those of the simulated tile: DAC, IR drop, read and output noise, ADC. Its gradient is
    that of the exact product of the clipped inputs. Input ranges are learned as in Rasch et al. 2023 (Nature
    Communications 14, 5282): a range grows with the gradient of the inputs that it clips, and shrinks slowly while it
    clips few. Weight noise is an option of its own (`training.weight_noise`); it moves the weights that the tiles hold.

    Attributes:
        ranges: The input range of each weight by its path: what the optimizer has to update as well.

    >>> from analog_samson import plan_conversion
    >>> model, x = nn.Linear(4, 2), torch.randn(64, 4)
    >>> hardware = HardwareForward(model, plan_conversion(model, "pcm_rasch_2023"), [x], seed=0)
    >>> with hardware.applied():
    ...     model(x).square().sum().backward()
    >>> model.weight.grad is not None, list(hardware.ranges)
    (True, ['(model)'])
    """

    def __init__(
        self, model: nn.Module, plan: ConversionPlan, batches: Iterable[Any], *, seed: int, run: Run = feed
    ) -> None:
        """Build the tiles of the planned weights, and choose the ranges to begin with.

        Args:
            model: The network; it is changed inside `applied` only.
            plan: Which weights are on the hardware, and which preset that is.
            batches: A few training batches, for the first ranges (`chip.input_ranges`).
            seed: Names the draws of that choice.
            run: How the network is run on a batch.

        Raises:
            PlanError: A weight of the plan cannot be put on tiles.
            DataError: No input of the batches reached a weight.
        """
        plan.check()
        chosen = choose_input_ranges(model, plan.preset, batches, seed=seed, plan=plan, run=run)
        self.ranges: dict[str, nn.Parameter] = {}
        self._weights: list[tuple[list[Slot], _TrainedOnTiles]] = []
        for placement in plan.placements:
            path, parameter, preset = placement.path, placement.parameter(model), placement.preset or plan.preset
            limit = nn.Parameter(torch.tensor(chosen[path].value if path in chosen else 1.0, device=parameter.device))
            matrix = TileMatrix(parameter, placement.layout, crossbar_config(rpu_config(preset)))
            holder = _TrainedOnTiles(path, matrix, parameter if placement.table else None)
            holder.parameter, holder.limit = parameter, limit
            self.ranges[path] = limit
            self._weights.append((placement.slots(model), holder))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, products run through the converters, at the present weights and ranges; draws from torch's stream."""
        pairs: list[tuple[Slot, Tensor]] = []
        for slots, holder in self._weights:
            holder.load()
            pairs += [(slot, CrossbarWeight(holder.parameter, holder)) for slot in dict.fromkeys(slots)]
        with exchanged(pairs):
            yield

    @torch.no_grad()
    def keep_positive(self) -> None:
        """After an update: a range is a size."""
        for limit in self.ranges.values():
            limit.abs_().clamp_(min=torch.finfo(limit.dtype).tiny)

    def state_dict(self) -> dict[str, Tensor]:
        """The ranges by path."""
        return {path: limit.detach() for path, limit in self.ranges.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over ranges of `state_dict`."""
        for path, limit in self.ranges.items():
            limit.copy_(state[path])


class _TrainedOnTiles(OnTiles):
    """The holder of a weight whose tiles follow a parameter.

    parameter: what is trained. limit: the input range.
    """

    matrix: TileMatrix
    parameter: nn.Parameter
    limit: nn.Parameter

    @torch.no_grad()
    def load(self) -> None:
        """Let the tiles hold the parameter and the range as they are now."""
        self.matrix.load(self.parameter)
        self.matrix.set_input_range(self.limit.item())

    def compute(self, use: Use, layout: Layout, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The product on the tiles, with the gradient of the exact one."""
        columns, operator = self.columns_of(layout, func), use.operator
        weight = self.matrix.layout.to_matrix(self.parameter)
        weight = weight if columns is None else weight[columns[0] : columns[1]]
        output = _OnConverters.apply(
            _LearnedClip.apply(use.input, self.limit),
            weight,
            operator,
            lambda: self.matrix.multiply(use.input.detach(), operator, None, columns),
        )
        return use.restore(output if use.bias is None else output + by_channel(use.bias, output))

    def repeated(self, weight: CrossbarWeight, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
        """Each product by itself, for its gradient."""
        return one_by_one(weight, bias)


class _OnConverters(torch.autograd.Function):
    """The values that the tiles give, with the gradient of the exact product of clipped inputs."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, operator: Operator, on_tiles: Callable[[], Tensor]) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.operator = operator
        return on_tiles().to(inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        inputs, weight = ctx.saved_tensors
        of_inputs, of_weight = ctx.operator.gradients(
            inputs.to(weight.dtype), weight, gradient.to(weight.dtype), ctx.operator.groups
        )
        return of_inputs.to(inputs.dtype), of_weight, None, None


class _LearnedClip(torch.autograd.Function):
    """Inputs cut at a range, and the gradient by which aihwkit learns it.

    Only gradients that ask for a larger range count, relative to the range; where more than INSIDE of the inputs are
    below it, DECAY of it is added.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: Tensor) -> Tensor:
        ctx.save_for_backward(x, limit)
        return x.clamp(-limit, limit)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, limit = ctx.saved_tensors
        clipped = x.abs() >= limit
        is_wide = clipped.count_nonzero() < (1 - INSIDE) * clipped.numel()
        passed = gradient.masked_fill(clipped, 0.0)
        outward = (gradient - passed).mul_(x.sign()).clamp_(max=0).sum().to(limit.dtype)
        return passed, limit * (outward + DECAY * is_wide)
