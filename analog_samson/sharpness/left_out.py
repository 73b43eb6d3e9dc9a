"""Which weight matrices a sharpness-aware step leaves where they are, and the warning where they are many."""

import warnings

from torch import Tensor, nn

from analog_samson.crossbar.coverage import Coverage, CoverageWarning, LeftOut, largest_left_out
from analog_samson.crossbar.matrices import weight_matrices
from analog_samson.sharpness.perturb import Ascent
from analog_samson.sharpness.selection import crossbar_weights, find_selection


def ascent_coverage(ascent: Ascent) -> Coverage | None:
    """The matrix weights that `ascent` perturbs, of all that it was given to train.

    Returns:
        Counts of weights, and the layers left out; a radius of 0 counts as the user's wish. None where the model is
        unknown, so that matrices cannot be told apart from other parameters.

    >>> from analog_samson.sharpness.perturb import plan_ascent
    >>> model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))
    >>> model.mixing = nn.Parameter(model[0].weight.detach() * 2)
    >>> ascent_coverage(plan_ascent(model)).percent_text
    '66.6 %'
    """
    if ascent.model is None:
        return None
    owners = _owners(ascent.model)
    covered, left_out = 0, []
    for group in ascent.groups:
        role, moving = find_selection(group.selection).role, group.perturbation.size > 0
        for info in group.parameters:
            if id(info.tensor) not in owners or not info.tensor.requires_grad:
                continue
            if moving and role(info) != "left out":
                covered += info.tensor.numel()
            else:
                path, kind = owners[id(info.tensor)]
                weights = info.tensor.numel()
                left_out.append(LeftOut(path=path, layer_type=kind, weights=weights, by_choice=not moving))
    return Coverage(covered, tuple(left_out))


def warn_left_out(ascent: Ascent, method: str, *, stacklevel: int) -> None:
    """Warn with a CoverageWarning if less than 90 % of the matrix weights are perturbed; not where none should be."""
    coverage = ascent_coverage(ascent)
    if coverage is None or not coverage.is_low or all(group.perturbation.size == 0 for group in ascent.groups):
        return
    by_selection = any(not layer.by_choice for layer in coverage.left_out)
    ways = ["choose selection='paper'"] if by_selection else []
    ways += ["give their group a rho above 0"] if any(layer.by_choice for layer in coverage.left_out) else []
    warnings.warn(
        f"{method} perturbs only {coverage.percent_text} of the matrix weights; the loss is not flattened in the "
        f"others. {largest_left_out(coverage.left_out)} To perturb them too, {'; and '.join(ways)}.",
        CoverageWarning,
        stacklevel=stacklevel + 1,
    )


def _owners(model: nn.Module) -> dict[int, tuple[str, str]]:
    """Path and type of the layer that holds each weight matrix, by the id of the matrix."""
    wanted = {id(tensor) for tensor in crossbar_weights(model).values()}
    owners: dict[int, tuple[str, str]] = {}
    for path, module in model.named_modules():
        own: dict[str, Tensor] = dict(module.named_parameters(recurse=False))
        matrices = {id(tensor) for tensor in weight_matrices(module).values()}
        for tensor in own.values():
            if id(tensor) in matrices | wanted:
                owners.setdefault(id(tensor), (path or "(model)", type(module).__name__))
    return owners
