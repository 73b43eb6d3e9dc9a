"""A sharpness-aware step around any torch optimizer: climb, take the gradient there, come back, update."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson.errors import OptionError
from analog_samson.sharpness.blocks import Buffers
from analog_samson.sharpness.closure import expect_gradients, refuse_earlier_gradients
from analog_samson.sharpness.left_out import ascent_coverage, warn_left_out
from analog_samson.sharpness.perturb import Ascent, Climb, Part, climb_on, expect_dense
from analog_samson.sharpness.scale import Neighbourhood
from analog_samson.sharpness.selection import Member, find_selection, members_of
from analog_samson.sharpness.share import format_share, share_by_kind

_logger = logging.getLogger(__name__)
_OWN = ("method", "rho", "p", "eta", "selection")  # what a parameter group holds besides the base optimizer's options
Params = nn.Module | Iterable[Tensor] | Iterable[tuple[str, Tensor]] | Iterable[dict[str, Any]]
Base = Callable[..., torch.optim.Optimizer]


class SharpnessAware(torch.optim.Optimizer):
    """What SAM, ASAM and SAMSON share. Use one of those (`optimizers.py`); the examples are in SAMSON.

    Parameters: a model (best: layers are told apart and batch-norm can be frozen), `model.named_parameters()`,
    `model.parameters()` (a tensor of two or more dimensions then counts as a weight) or parameter groups. A group may
    set its own `method`, `rho`, `p`, `eta` and `selection` beside the base optimizer's options; rho = 0 takes it out.
    The norm ||T g||_2 runs over all groups. `model=` names the model if the parameters do not come from one.

    The groups and the state are the base optimizer's own objects: learning-rate schedulers take this optimizer, and
    `state_dict` is the base optimizer's with the options above. Attributes: `base_optimizer`; `share`, where the first
    perturbation went by kind of parameter (also logged, once); `skipped_steps`, how often a gradient was not finite.
    Such a step changes nothing and is logged the first time.

    Batch-norm running statistics move in the first pass only, if the model is known.

    The host waits for the device twice a step, once after each backward pass: for the norms to scale by, and for
    whether to update (a GradScaler's verdict replaces the latter). Knowing the first on the host is what allows a bad
    gradient to skip the second pass, and the climb to be a handful of launches.
    """

    _step_supports_amp_scaling = True  # a GradScaler then always calls step(), which has to put the weights back
    found_inf: Tensor | int | None = None  # a GradScaler sets these two on the instance during step()
    grad_scale: Tensor | float = 1.0  # and multiplies its scale into this one

    _built = False
    _open: tuple[ExitStack, Climb] | None = None  # between first_step and second_step

    def __init__(
        self,
        params: Params,
        base_optimizer: Base,
        options: Mapping[str, Any],
        model: nn.Module | None,
        base_kwargs: Mapping[str, Any],
    ) -> None:
        self.model = params if isinstance(params, nn.Module) else model
        self.share: dict[str, float] | None = None
        self.skipped_steps = 0
        self._members: dict[Tensor, Member] = {}
        self._buffers = Buffers()
        groups: Any = params.named_parameters() if isinstance(params, nn.Module) else params
        super().__init__(groups, dict(options))
        self.base_optimizer = _build(base_optimizer, self.param_groups, base_kwargs)
        self.defaults = {**self.base_optimizer.defaults, **options}
        self._share_with_base()
        self._built = True
        self._expect_something_selected()
        warn_left_out(self.ascent, type(self).__name__, stacklevel=3)

    @property
    def ascent(self) -> Ascent:
        """The climb that the next step would make, from the groups as they are now."""
        return Ascent([self._part(group) for group in self.param_groups], self.model, self._buffers)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with their own options; keys that are not given take the optimizer's defaults."""
        group = _resolved({**{name: self.defaults[name] for name in _OWN}, **param_group})
        if self._built:
            self.base_optimizer.add_param_group(group)
        else:
            super().add_param_group(group)
        added = self.param_groups[-1]
        found = members_of(added["params"], added.get("param_names"), self.model)
        self._members.update((member.tensor, member) for member in found)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update from a closure that computes the loss, calls backward and returns the loss.

        The closure runs twice, at the weights and at the worst nearby weights, and the update uses the gradients of the
        second run alone. It runs once if nothing moves (rho = 0, a zero or non-finite gradient): then this is a step of
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
        with refuse_earlier_gradients(self._members, caller):
            loss = closure()
        if self._climb().moved:
            try:
                self.zero_grad()  # the update takes nothing from the first run, also if the closure does not clear
                closure()
                expect_gradients(self._members, caller)
            except BaseException:
                self.restore()
                raise
        return self._finish(loss)

    @torch.no_grad()
    def first_step(self, zero_grad: bool = False) -> None:
        """Climb along the present gradients to the worst nearby weights. A second backward pass has to follow."""
        self._climb()
        if zero_grad:
            self.zero_grad()

    def second_step(self, zero_grad: bool = False) -> None:
        """Put the weights back and update them with the present gradients, those of the climbed weights."""
        self.step()  # through step(), so that schedulers and step hooks see it
        if zero_grad:
            self.zero_grad()

    def restore(self) -> None:
        """Put the weights back without an update, if `first_step` moved them; for use after an exception."""
        if self._open is not None:
            stack, _ = self._open
            self._open = None
            stack.close()

    def state_dict(self) -> dict[str, Any]:
        """The base optimizer's state dict; its groups hold this optimizer's options too."""
        return self.base_optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned, or the state of a bare base optimizer (the options then stay)."""
        own = [{name: group[name] for name in _OWN} for group in self.param_groups]
        _expect_same_methods([group["method"] for group in own], state_dict)
        self.base_optimizer.load_state_dict(state_dict)
        self._share_with_base()
        for group, kept in zip(self.param_groups, own, strict=True):
            group.update({**kept, **group})

    def __getstate__(self) -> dict[str, Any]:
        own = ("base_optimizer", "model", "share", "skipped_steps", "_members", "_buffers", "_built")
        return {**super().__getstate__(), **{name: self.__dict__[name] for name in own}}

    def _climb(self) -> Climb:
        if self._open is not None:
            raise OptionError("first_step() twice: finish with second_step(), or restore() the weights")
        for member in self._members.values():
            expect_dense(member)
        with ExitStack() as stack:
            climb = climb_on(stack, self.ascent, watch=self._note_share if self.share is None else None)
            self._open = stack.pop_all(), climb
        return climb

    def _finish(self, loss: Any = None) -> Any:
        if self._open is None:
            self.__dict__.pop("found_inf", None)  # else a GradScaler's would stay for the next step
            self.__dict__.pop("grad_scale", None)
            raise OptionError(
                f"{type(self).__name__}.step() needs a closure that clears the gradients, computes the loss, calls "
                "backward and returns the loss; without one call first_step(), a second backward pass, second_step()"
            )
        _, climb = self._open
        self.restore()
        if climb.finite and self._gradients_are_finite():
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

    def _note_share(self, moving: Iterable[Member], steps: Iterable[Tensor]) -> None:
        self.share = share_by_kind(list(moving), list(steps))
        coverage = ascent_coverage(self.ascent)
        partial = coverage if coverage is not None and coverage.left_out else None
        of_matrices = "" if partial is None else f"; {partial.percent_text} of the matrix weights are perturbed"
        _logger.info("%s: %s%s", type(self).__name__, format_share(self.share), of_matrices)

    def _part(self, group: dict[str, Any]) -> Part:
        return Part([self._members[tensor] for tensor in group["params"]], _neighbourhood(group), group["selection"])

    def _share_with_base(self) -> None:
        self.param_groups = self.base_optimizer.param_groups
        self.state = self.base_optimizer.state

    def _expect_something_selected(self) -> None:
        parts = [part for part in self.ascent.parts if part.hood.rho > 0]
        roles = [find_selection(part.selection).role(member) for part in parts for member in part.members]
        if parts and all(role == "left out" for role in roles):
            modes = " and ".join(sorted({repr(part.selection) for part in parts}))
            raise OptionError(
                f"selection {modes} picks none of the {len(roles)} parameters: nothing would ever be perturbed; "
                "choose selection='paper' or 'reference', or rho=0"
            )


def _resolved(group: dict[str, Any]) -> dict[str, Any]:
    """The group with eta filled in from its selection mode, if it has none; refuses options that cannot be."""
    mode = find_selection(group["selection"])
    group = {**group, "eta": mode.eta if group["eta"] is None else group["eta"]}
    _neighbourhood(group)
    return group


def _neighbourhood(group: Mapping[str, Any]) -> Neighbourhood:
    return Neighbourhood(method=group["method"], rho=group["rho"], p=group["p"], eta=group["eta"])


def _build(base_optimizer: Base, groups: list[dict[str, Any]], base_kwargs: Mapping[str, Any]) -> torch.optim.Optimizer:
    """The base optimizer on the very same group dictionaries."""
    if not callable(base_optimizer):
        raise OptionError(
            f"base_optimizer: expected an optimizer class such as torch.optim.SGD, got {base_optimizer!r}; "
            "its options follow as keywords"
        )
    if base_kwargs.get("maximize") or any(group.get("maximize") for group in groups):
        raise OptionError("maximize: a sharpness-aware step climbs the loss it minimises; negate the loss instead")
    base = base_optimizer(groups, **base_kwargs)
    shared = [name for name in _OWN if name in base.defaults]
    if shared:
        raise OptionError(
            f"base_optimizer: {type(base).__name__} has an option {' and '.join(shared)} of its own, which the "
            "perturbation's would replace; choose another base, such as SGD or Adam"
        )
    closure = signature(base.step).parameters.get("closure")
    if closure is not None and closure.default is Parameter.empty:
        raise OptionError(
            f"base_optimizer: {type(base).__name__} evaluates a closure of its own in every step, so it cannot be the "
            "base of a sharpness-aware step; expected one that steps from the gradients, such as SGD or Adam"
        )
    return base


def _expect_same_methods(methods: list[str], state_dict: dict[str, Any]) -> None:
    saved = [group.get("method", "") for group in state_dict["param_groups"]]
    for index, (mine, other) in enumerate(zip(methods, saved, strict=False)):
        if other and other != mine:
            raise OptionError(f"parameter group {index}: the state was saved by {other}, this optimizer does {mine}")


def _all_finite(tensors: list[Tensor]) -> bool:
    """Whether every number is finite; one read for all tensors.

    A finite 2-norm says so at a fifteenth of the infinity norm's time on a CPU; one that has overflowed says nothing.
    """
    tensors = [tensor for tensor in tensors if tensor.numel()]
    return not tensors or _norms_are_finite(tensors, 2) or _norms_are_finite(tensors, math.inf)


def _norms_are_finite(tensors: list[Tensor], order: float) -> bool:
    norms = [norm.to(tensors[0].device) for norm in torch._foreach_norm(tensors, order)]
    return bool(torch.stack(norms).isfinite().all())
