"""Batch-norm running statistics: hold them still, adapt them to noisy weights (AdaBS), put them back."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson.errors import OptionError
from analog_samson.runtime.devices import full_precision
from analog_samson.tasks.batch import Run, feed, first_tensor
from analog_samson.tasks.batch_check import check_inputs

_Layer = nn.modules.batchnorm._BatchNorm  # 1d, 2d, 3d, Sync and their subclasses
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """What an adaptation used: images, batches, and the batch-norm layers whose statistics it replaced."""

    images: int
    batches: int
    layers: int


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch-norm layers normalise as before but record nothing: running mean, variance and batch count stand still.

    For the second pass of a sharpness-aware step. Layers in train mode still use the statistics of the batch. Works for
    every momentum (None as well), can be nested, and ends on an exception.

    >>> layer = nn.BatchNorm1d(2)
    >>> with frozen_statistics(layer):
    ...     _ = layer(torch.randn(8, 2))
    >>> layer.running_mean.tolist(), layer.num_batches_tracked.item()
    ([0.0, 0.0], 0)
    """
    tracking = [(module, module.track_running_stats) for module in model.modules() if isinstance(module, _Layer)]
    try:
        for module, _ in tracking:
            module.track_running_stats = False
        yield
    finally:
        for module, was_tracking in tracking:
            module.track_running_stats = was_tracking


def batchnorm_layers(model: nn.Module) -> dict[str, _Layer]:
    """The batch-norm layers that keep running statistics, by name, each once.

    >>> list(batchnorm_layers(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))))
    ['1']
    """
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _Layer) and module.running_mean is not None
    }


def expect_batchnorm(model: nn.Module) -> dict[str, _Layer]:
    """`batchnorm_layers`; raises OptionError where there are none, so that nothing can be adapted."""
    layers = batchnorm_layers(model)
    if not layers:
        raise OptionError(
            "adaptive batch-norm statistics: the model has no batch-norm layer with running statistics to adapt"
        )
    return layers


def batchnorm_state(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all running statistics, keyed as in the model's state dict; a model without batch-norm gives {}.

    >>> list(batchnorm_state(nn.Sequential(nn.BatchNorm1d(2))))
    ['0.running_mean', '0.running_var', '0.num_batches_tracked']
    """
    return {key: buffer.detach().clone() for key, buffer in _buffers(model).items()}


@contextmanager
def restored_statistics(model: nn.Module) -> Iterator[None]:
    """Put the running statistics back exactly when the block ends, so that each simulated device can adapt its own.

    >>> layer = nn.BatchNorm1d(2)
    >>> with restored_statistics(layer):
    ...     _ = adapt_batchnorm(layer, [torch.randn(8, 2)])
    >>> layer.running_mean.tolist()
    [0.0, 0.0]
    """
    saved = batchnorm_state(model)
    try:
        yield
    finally:
        _load(model, saved)


@contextmanager
def adapted_statistics(model: nn.Module, batches: Iterable[Any], run: Run = feed) -> Iterator[None]:
    """Within, running statistics are those of the weights as they are now (`adapt_batchnorm`); after, as before."""
    with restored_statistics(model):
        adapt_batchnorm(model, batches, run=run)
        yield


def adapt_batchnorm(
    model: nn.Module, batches: Iterable[Any], *, momentum: float | None = None, run: Run = feed
) -> Adaptation:
    """AdaBS: recompute the running mean and variance with the weights as they are now (paper, section 6.1).

    batches: inputs alone, or with targets, which are not used, on the model's device. run: how the model is run on a
    batch. Only batch-norm layers run
    in train mode (dropout stays off), so each layer normalises by the statistics of the batch while they are gathered.
    momentum None: the mean and unbiased variance of everything a layer saw, pooled exactly over all batches whatever
    their sizes; the old statistics do not matter. A number in (0, 1]: torch's running update from the old statistics,
    batch by batch in the given order. The count of training batches, modes and momenta stay as they were; an exception
    leaves the old statistics. Draws nothing itself.

    >>> layer = nn.BatchNorm1d(1)
    >>> adapt_batchnorm(layer, [torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [7.0], [9.0]])])
    Adaptation(images=5, batches=2, layers=1)
    >>> layer.running_mean.item(), layer.running_var.item()
    (5.0, 10.0)
    """
    _check_momentum(momentum)
    layers = expect_batchnorm(model)
    saved = batchnorm_state(model)
    try:
        gathered = {name: _Gathered() for name in layers}
        with _only_training(model, layers.values()), _watching(layers, gathered, momentum), full_precision():
            images, count = _run(model, batches, run)
        return _conclude(layers, gathered, momentum, saved, images, count)
    except BaseException:
        _load(model, saved)
        raise


def _check_momentum(momentum: float | None) -> None:
    if momentum is not None and not 0 < momentum <= 1:
        raise OptionError(f"momentum: expected a number in (0, 1], or None for the exact average, got {momentum!r}")


@dataclass(slots=True)
class _Gathered:
    """Pooled moments of one layer's input: values per channel, mean (C,), sum of squared deviations (C,), float64."""

    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    deviations: Tensor = field(default_factory=lambda: torch.zeros(()))

    def add(self, count: int, mean: Tensor, variance: Tensor) -> None:
        """Pool another batch: values per channel, mean and unbiased variance (Chan's rule for joining moments)."""
        total = self.count + count
        mean, deviations = mean.double(), variance.double() * (count - 1)
        if self.count == 0:
            self.mean, self.deviations = mean, deviations
        else:
            shift = mean - self.mean
            self.deviations = self.deviations + deviations + shift.square() * (self.count * count / total)
            self.mean = self.mean + shift * (count / total)
        self.count = total


@contextmanager
def _only_training(model: nn.Module, layers: Iterable[_Layer]) -> Iterator[None]:
    """Batch-norm layers in train mode and recording, all else in eval mode; every module's state is given back."""
    modes = [(module, module.training) for module in model.modules()]
    tracking = [(layer, layer.track_running_stats) for layer in layers]
    try:
        model.eval()
        for layer, _ in tracking:
            layer.training = layer.track_running_stats = True
        yield
    finally:
        for module, training in modes:
            module.training = training
        for layer, was_tracking in tracking:
            layer.track_running_stats = was_tracking


@contextmanager
def _watching(
    layers: Mapping[str, _Layer], gathered: Mapping[str, _Gathered], momentum: float | None
) -> Iterator[None]:
    """Let torch compute each batch's statistics (momentum 1 leaves them in the buffers); pool them after each call."""
    momenta = [(layer, layer.momentum) for layer in layers.values()]
    hooks = []
    try:
        for name, layer in layers.items():
            layer.momentum = 1.0 if momentum is None else momentum
            check, record = _checker(name, clear=momentum is None), _recorder(gathered[name])
            hooks.append(layer.register_forward_pre_hook(check, with_kwargs=True))
            hooks.append(layer.register_forward_hook(record, with_kwargs=True))
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer, kept in momenta:
            layer.momentum = kept


def _checker(name: str, *, clear: bool) -> Any:
    def check(module: Any, inputs: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> None:
        if _values_per_channel(inputs, named) < 2:
            raise OptionError(
                f"adaptive batch-norm statistics: layer {name!r} gets one value per channel, which has no variance; "
                "choose a number of calibration images that leaves no batch of a single image"
            )
        if clear:  # 0 * old would keep an old nan or inf
            module.running_mean.zero_()
            module.running_var.zero_()

    return check


def _recorder(gathered: _Gathered) -> Any:
    def record(module: Any, inputs: tuple[Tensor, ...], named: Mapping[str, Tensor], output: Tensor) -> None:
        gathered.add(_values_per_channel(inputs, named), module.running_mean, module.running_var)

    return record


def _values_per_channel(inputs: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> int:
    """Of the one input of a batch-norm layer, which may be given by its name."""
    (values,) = (*inputs, *named.values())
    return values.numel() // values.shape[1]


@torch.no_grad()
def _run(model: nn.Module, batches: Iterable[Any], run: Run) -> tuple[int, int]:
    """Forward every batch; the numbers of images and of batches."""
    images = count = 0
    for batch in batches:
        x = first_tensor(batch)
        check_inputs(x)
        run(model, batch)
        images, count = images + (0 if x is None else len(x)), count + 1
    if count == 0:
        raise OptionError("adaptive batch-norm statistics: no calibration images; expected at least one batch")
    return images, count


def _conclude(
    layers: Mapping[str, _Layer],
    gathered: Mapping[str, _Gathered],
    momentum: float | None,
    saved: Mapping[str, Tensor],
    images: int,
    batches: int,
) -> Adaptation:
    """Write the pooled statistics; put back the batch count, and all of a layer that saw nothing."""
    for name, layer in layers.items():
        buffers, seen = dict(layer.named_buffers(recurse=False)), gathered[name]
        if momentum is None and seen.count:
            buffers["running_mean"].copy_(seen.mean)
            buffers["running_var"].copy_(seen.deviations / (seen.count - 1))
        for key in ("num_batches_tracked",) if seen.count else _BUFFERS:
            if key in buffers:  # layers of very old checkpoints do not count their batches
                buffers[key].copy_(saved[f"{name}.{key}" if name else key])
    return Adaptation(images=images, batches=batches, layers=sum(seen.count > 0 for seen in gathered.values()))


def _buffers(model: nn.Module) -> dict[str, Tensor]:
    return {
        f"{name}.{key}" if name else key: buffer
        for name, layer in batchnorm_layers(model).items()
        for key, buffer in layer.named_buffers(recurse=False)
        if key in _BUFFERS
    }


@torch.no_grad()
def _load(model: nn.Module, saved: Mapping[str, Tensor]) -> None:
    for key, buffer in _buffers(model).items():
        buffer.copy_(saved[key])
