"""The Trainer of Hugging Face's transformers with SAM, ASAM or SAMSON: two passes over the batches of each update."""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from analog_samson.errors import OptionError
from analog_samson.sharpness.wrapper import SharpnessAware

if TYPE_CHECKING:
    from transformers import Trainer as _Base
else:
    _Base = object

_WHOLE_WEIGHTS = ("NO", "MULTI_CPU", "MULTI_GPU")  # where each process holds the whole network


class SharpnessAwareTrainer(_Base):
    """A mixin for `transformers.Trainer` and its subclasses, whose optimizer is a `SAM`, `ASAM` or `SAMSON`.

    The Trainer calls the optimizer after the backward passes of an update. Here the last of them is followed by the
    ascent and by the same backward passes at the perturbed weights, so the update, gradient clipping, schedules,
    callbacks, checkpoints and resuming are the Trainer's own. With accumulated gradients all micro-batches of an update
    are evaluated at both points and kept until then. The logged loss is that at the weights themselves; dropout draws
    anew in the second pass. bf16 works; fp16 was not tried. `docs/examples/huggingface_trainer.py` shows it in use.

    Raises:
        OptionError: In the first step, where the optimizer is another one, or where a process holds a part of the
            weights only (FSDP, DeepSpeed, tensor parallel).
    """

    _micro_batches: tuple[Any, ...] = ()

    def training_step(self, model: nn.Module, inputs: Any, *arguments: Any, **options: Any) -> Tensor:
        """The Trainer's step on one micro-batch; after the last of an update also the passes at the worst weights.

        Args:
            model: As the Trainer wraps it.
            inputs: The micro-batch.
            arguments: What the Trainer gives further.
            options: The same by name.

        Returns:
            The loss of the micro-batch at the weights themselves.
        """
        optimizer = self._sharpness_aware()
        loss: Tensor = super().training_step(model, inputs, *arguments, **options)
        self._micro_batches = (*self._micro_batches, inputs)
        if not self.accelerator.sync_gradients:
            return loss
        micro_batches, self._micro_batches = self._micro_batches, ()
        optimizer.first_step(zero_grad=True)
        try:
            for again in micro_batches:
                super().training_step(model, again, *arguments, **options)
        except BaseException:
            optimizer.restore()
            raise
        return loss

    def _sharpness_aware(self) -> SharpnessAware:
        """The optimizer inside Accelerate's wrapper."""
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        if not isinstance(optimizer, SharpnessAware):
            raise OptionError(
                f"{type(self).__name__}: expected SAM, ASAM or SAMSON as optimizer, got a {type(optimizer).__name__}; "
                "give optimizers=(SAMSON(model, torch.optim.AdamW, rho=..., lr=...), None)"
            )
        kind = self.accelerator.distributed_type.value
        if kind not in _WHOLE_WEIGHTS or getattr(self, "is_tp_enabled", False):
            raise OptionError(
                f"{type(self).__name__}: {kind} divides the weights among processes, and the ascent needs them whole; "
                "train in one process, or with DistributedDataParallel"
            )
        return optimizer
