"""A sharpness-aware step around any torch optimizer: perturb, take the gradient there, restore, update."""

import logging
import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson.errors import OptionError
from analog_samson.sharpness.chunks import BufferPool
from analog_samson.sharpness.closure import expect_gradients, refuse_earlier_gradients
from analog_samson.sharpness.group_options import (
    Base,
    build_base,
    expect_same_methods,
    group_perturbation,
    own_options,
    resolved_group,
)
from analog_samson.sharpness.left_out import ascent_coverage, warn_left_out
from analog_samson.sharpness.perturb import Ascent, AscentResult, ParamGroup, expect_dense, perturb_on
from analog_samson.sharpness.perturbation_breakdown import breakdown_by_kind, format_breakdown
from analog_samson.sharpness.perturbations import Perturbation
from analog_samson.sharpness.selection import ParamInfo, describe_tensors, find_selection, selection_name

_logger = logging.getLogger(__name__)
Params = nn.Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]


class SharpnessAware(torch.optim.Optimizer):
    """A sharpness-aware step by any registered method around any torch optimizer; the examples are in SAMSON.

    SAM, ASAM and SAMSON (`optimizers.py`) are this class for one method each.

    Args:
        params: A model (best: layers are told apart and batch-norm can be frozen), `model.named_parameters()`,
            `model.parameters()` (a tensor of two or more dimensions then counts as a weight) or parameter groups. A
            group may set its own `method` and options of that method, and `selection`, beside the base optimizer's
            options; rho = 0 takes it out. The norm ||T g||_2 runs over all groups.
        base_optimizer: A class such as torch.optim.SGD, which steps from gradients.
        perturbation: The method.
        selection: What is perturbed, see `selection.SELECTIONS`.
        model: The model, if the parameters do not come from one.
        base_kwargs: Options of the base optimizer.

    Attributes:
        base_optimizer: The base optimizer. Groups and state are its own objects, so learning-rate schedulers take this
            optimizer, and `state_dict` is the base optimizer's with the options above.
        perturbation_breakdown: Fractions of ||eps||^2 by kind of parameter at the first step (also logged, once).
        skipped_steps: How often a gradient was not finite. Such a step changes nothing; the first one is logged.

    Batch-norm running statistics change in the first pass only, if the model is known.

    The host waits for the device twice a step, once after each backward pass: for the norms to scale by, and for
    whether to update (a GradScaler's verdict replaces the latter). Knowing the first on the host is what allows a bad
    gradient to skip the second pass, and the ascent to be a handful of launches.
    """

    _step_supports_amp_scaling = True  # a GradScaler then always calls step(), which has to put the weights back
    found_inf: Tensor | int | None = None  # a GradScaler sets these two on the instance during step()
    grad_scale: Tensor | float = 1.0  # and multiplies its scale into this one

    _built = False
    _open: tuple[ExitStack, AscentResult] | None = None  # between first_step and second_step

    def __init__(
        self,
        params: Params,
        base_optimizer: Base = torch.optim.SGD,
        *,
        perturbation: Perturbation,
        selection: str = "weights_only",
        model: nn.Module | None = None,
        **base_kwargs: Any,
    ) -> None:
        self.model = params if isinstance(params, nn.Module) else model
        self.perturbation_breakdown: dict[str, float] | None = None
        self.skipped_steps = 0
        self._parameters: dict[Tensor, ParamInfo] = {}
        self._buffers = BufferPool()
        options = {"method": perturbation.name, **perturbation.options(), "selection": selection}
        groups: Any = params.named_parameters() if isinstance(params, nn.Module) else params
        super().__init__(groups, options)
        self.base_optimizer = build_base(base_optimizer, self.param_groups, base_kwargs)
        self.defaults = {**self.base_optimizer.defaults, **options}
        self._share_with_base()
        self._built = True
        self._expect_something_selected()
        warn_left_out(self.ascent, type(self).__name__, stacklevel=3)

    @property
    def ascent(self) -> Ascent:
        """The ascent that the next step would make, from the groups as they are now."""
        return Ascent([self._param_group(group) for group in self.param_groups], self.model, self._buffers)

    @property
    def share(self) -> dict[str, float] | None:
        """`perturbation_breakdown`, under its name of version 0.1."""
        return self.perturbation_breakdown

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with their own options; keys that are not given take the optimizer's defaults."""
        group = resolved_group({**self._own_defaults(), **param_group})
        if self._built:
            self.base_optimizer.add_param_group(group)
        else:
            super().add_param_group(group)
        added = self.param_groups[-1]
        found = describe_tensors(added["params"], added.get("param_names"), self.model)
        self._parameters.update((info.tensor, info) for info in found)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update from a closure that computes the loss, calls backward and returns the loss.

        The closure runs twice, at the weights and at the worst nearby weights. The update uses the gradients of the
        second run only. It runs once if nothing moves (rho = 0, a zero or non-finite gradient): then this is a step of
        the base optimizer, or none. After `first_step` call this without a closure (a GradScaler does).

        Args:
            closure: It may clear the gradients itself. It may also run several backward passes to accumulate the
                gradients of micro-batches.

        Returns:
            What the first run of the closure returned.

        Raises:
            OptionError: The closure added to gradients from before this call. That earlier pass cannot be repeated at
                the worst nearby weights. Also if the second run computed no gradient. The weights do not change.
        """
        if closure is None:
            return self._finish()
        if self._open is not None:
            raise OptionError("step(closure) after first_step(): finish with second_step(), or restore() the weights")
        if self.found_inf is not None:
            raise OptionError("a GradScaler cannot drive a closure: use first_step(), then scaler.step(optimizer)")
        closure = torch.enable_grad()(closure)
        caller = f"{type(self).__name__}.step(closure)"
        with refuse_earlier_gradients(self._parameters, caller):
            loss = closure()
        if self._perturb().moved:
            try:
                self.zero_grad()  # the update takes nothing from the first run, also if the closure does not clear
                closure()
                expect_gradients(self._parameters, caller)
            except BaseException:
                self.restore()
                raise
        return self._finish(loss)

    @torch.no_grad()
    def first_step(self, zero_grad: bool = False) -> None:
        """Move to the worst nearby weights along the present gradients. A second backward pass has to follow."""
        self._perturb()
        if zero_grad:
            self.zero_grad()

    def second_step(self, zero_grad: bool = False) -> None:
        """Restore the weights and update them with the present gradients, those of the perturbed weights."""
        self.step()  # through step(), so that schedulers and step hooks see it
        if zero_grad:
            self.zero_grad()

    def restore(self) -> None:
        """Restore the weights without an update, if `first_step` moved them; for use after an exception."""
        if self._open is not None:
            stack, _ = self._open
            self._open = None
            stack.close()

    def state_dict(self) -> dict[str, Any]:
        """The base optimizer's state dict; its groups hold this optimizer's options too."""
        return self.base_optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, or the state of a bare base optimizer (the options then stay)."""
        own = [{name: group[name] for name in own_options(group)} for group in self.param_groups]
        expect_same_methods([group["method"] for group in own], state_dict)
        self.base_optimizer.load_state_dict(state_dict)
        self._share_with_base()
        for group, kept in zip(self.param_groups, own, strict=True):
            group.update({**kept, **group})
            group["selection"] = selection_name(group["selection"])

    def __getstate__(self) -> dict[str, Any]:
        own = (
            "base_optimizer",
            "model",
            "perturbation_breakdown",
            "skipped_steps",
            "_parameters",
            "_buffers",
            "_built",
        )
        return {**super().__getstate__(), **{name: self.__dict__[name] for name in own}}

    def _own_defaults(self) -> dict[str, Any]:
        return {name: self.defaults[name] for name in own_options(self.defaults)}

    def _perturb(self) -> AscentResult:
        if self._open is not None:
            raise OptionError("first_step() twice: finish with second_step(), or restore() the weights")
        for info in self._parameters.values():
            expect_dense(info)
        with ExitStack() as stack:
            watch = self._note_breakdown if self.perturbation_breakdown is None else None
            result = perturb_on(stack, self.ascent, watch=watch)
            self._open = stack.pop_all(), result
        return result

    def _finish(self, loss: Any = None) -> Any:
        if self._open is None:
            self.__dict__.pop("found_inf", None)  # else a GradScaler's would stay for the next step
            self.__dict__.pop("grad_scale", None)
            raise OptionError(
                f"{type(self).__name__}.step() needs a closure that clears the gradients, computes the loss, calls "
                "backward and returns the loss; without one call first_step(), a second backward pass, second_step()"
            )
        _, result = self._open
        self.restore()
        if result.finite and self._gradients_are_finite():
            self.base_optimizer.step()
        else:
            self._note_skip()
        return loss

    def _gradients_are_finite(self) -> bool:
        """Whether the update may be made; un-scales the gradients if a GradScaler drives this step."""
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if self.found_inf is None:
            return _all_finite(grads)
        if isinstance(self.grad_scale, Tensor):
            inverse = self.grad_scale.double().reciprocal().float()  # rounded as GradScaler rounds it
            for device in {grad.device for grad in grads}:
                torch._foreach_mul_([grad for grad in grads if grad.device == device], inverse.to(device))
        return not bool(self.found_inf)

    def _note_skip(self) -> None:
        self.skipped_steps += 1
        if self.skipped_steps == 1:
            _logger.warning(
                "%s: the gradient, or its norm, is not finite; this step is skipped, weights and state stay "
                "(further skips are counted in skipped_steps, not logged)",
                type(self).__name__,
            )

    def _note_breakdown(self, moving: Iterable[ParamInfo], steps: Iterable[Tensor]) -> None:
        self.perturbation_breakdown = breakdown_by_kind(list(moving), list(steps))
        coverage = ascent_coverage(self.ascent)
        partial = coverage if coverage is not None and coverage.left_out else None
        of_matrices = "" if partial is None else f"; {partial.percent_text} of the matrix weights are perturbed"
        _logger.info("%s: %s%s", type(self).__name__, format_breakdown(self.perturbation_breakdown), of_matrices)

    def _param_group(self, group: dict[str, Any]) -> ParamGroup:
        parameters = [self._parameters[tensor] for tensor in group["params"]]
        return ParamGroup(parameters, group_perturbation(group), group["selection"])

    def _share_with_base(self) -> None:
        self.param_groups = self.base_optimizer.param_groups
        self.state = self.base_optimizer.state

    def _expect_something_selected(self) -> None:
        groups = [group for group in self.ascent.groups if group.perturbation.size > 0]
        roles = [find_selection(group.selection).role(info) for group in groups for info in group.parameters]
        if groups and all(role == "left out" for role in roles):
            modes = " and ".join(sorted({repr(group.selection) for group in groups}))
            raise OptionError(
                f"selection {modes} picks none of the {len(roles)} parameters: nothing would ever be perturbed; "
                "choose selection='paper' or 'name_contains_weight', or rho=0"
            )


def _all_finite(tensors: list[Tensor]) -> bool:
    """Whether every number is finite; one read for all tensors.

    A finite 2-norm says so at a fifteenth of the infinity norm's time on a CPU; one that has overflowed says nothing.
    """
    tensors = [tensor for tensor in tensors if tensor.numel()]
    return not tensors or _norms_are_finite(tensors, 2) or _norms_are_finite(tensors, math.inf)


def _norms_are_finite(tensors: list[Tensor], order: float) -> bool:
    norms = [norm.to(tensors[0].device) for norm in torch._foreach_norm(tensors, order)]
    return bool(torch.stack(norms).isfinite().all())
