"""The options of a parameter group: those of its method, beside those of the base optimizer."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

import torch

from analog_samson.errors import OptionError
from analog_samson.sharpness.methods import find_method, make_perturbation, worst_case_methods
from analog_samson.sharpness.perturbations import Perturbation
from analog_samson.sharpness.selection import find_selection, selection_name

Base = Callable[..., torch.optim.Optimizer]


def own_options(group: Mapping[str, Any]) -> list[str]:
    """The names of the options that a group holds besides those of the base optimizer."""
    return ["method", *find_method(group["method"], worst_case_methods()).option_names(), "selection"]


def group_perturbation(group: Mapping[str, Any]) -> Perturbation:
    """The method of a group, with the group's options."""
    names = [name for name in own_options(group) if name in group and name != "selection"]
    return make_perturbation(**{name: group[name] for name in names})


def resolved_group(group: dict[str, Any]) -> dict[str, Any]:
    """The group with the method's defaults filled in. Raises OptionError for impossible options."""
    mode = find_selection(group["selection"])
    perturbation = group_perturbation(group).filled(mode.eta)
    return {**group, **perturbation.options(), "selection": selection_name(group["selection"])}


def expect_same_methods(methods: list[str], state_dict: Mapping[str, Any]) -> None:
    """Refuse a state that another method saved."""
    saved = [group.get("method", "") for group in state_dict["param_groups"]]
    for index, (mine, other) in enumerate(zip(methods, saved, strict=False)):
        if other and other != mine:
            raise OptionError(f"parameter group {index}: the state was saved by {other}, this optimizer does {mine}")


def build_base(
    base_optimizer: Base, groups: list[dict[str, Any]], base_kwargs: Mapping[str, Any]
) -> torch.optim.Optimizer:
    """The base optimizer on the very same group dictionaries. Raises OptionError for one that cannot serve."""
    if not callable(base_optimizer):
        raise OptionError(
            f"base_optimizer: expected an optimizer class such as torch.optim.SGD, got {base_optimizer!r}; "
            "its options follow as keywords"
        )
    if base_kwargs.get("maximize") or any(group.get("maximize") for group in groups):
        raise OptionError("maximize: a sharpness-aware step needs a loss to minimise; negate the loss instead")
    base = base_optimizer(groups, **base_kwargs)
    own = dict.fromkeys(name for group in groups for name in own_options(group))
    shared = [name for name in own if name in base.defaults]
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
