"""Exact digital rescaling of input channels against weight rows, so that all inputs fill the converters' range.

Channel j is divided by s_j before the DAC and its weights are multiplied by s_j, with s_j = max|x_j|^alpha /
max|w_j|^(1 - alpha) rounded to a power of two: no product changes, in floating point as in real numbers. After
SmoothQuant (Xiao et al. 2023, arXiv 2211.10438).
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from analog_samson.chip.input_sample import InputSample
from analog_samson.crossbar.plan import Placement
from analog_samson.runtime.eval_mode import eval_mode

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_PASSING = {nn.ReLU, nn.Identity, nn.Dropout, torch.relu, nn.functional.relu, "relu", "relu_", "contiguous"}
_LARGEST = 30  # exponent, either way


def rescaled(
    model: nn.Module,
    placements: Sequence[Placement],
    samples: Mapping[str, InputSample],
    alpha: float,
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Exponents of the powers of two for each weight whose inputs differ in size, and the norm that divides them.

    Weights that share the output of a norm layer, and are all that reads it, have their exponents in common: the norm
    divides with its own factors, at no cost. The norm is "" elsewhere. A weight whose uses differ in their channels,
    or that met no input, is left out.

    Args:
        model: The network, with plain weights.
        placements: The weights on tiles.
        samples: Their inputs, by path.
        alpha: 1 makes all input channels equally large, 0 all weight rows.
    """
    usable = {one.path: one for one in placements if _is_usable(samples[one.path])}
    norms = preceding_norms(model, list(usable.values()))
    shared: dict[tuple[str, str], list[str]] = {}
    for path in usable:
        norm = norms.get(path, "")
        shared.setdefault((norm, "" if norm else path), []).append(path)
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    for (norm, _), paths in shared.items():
        inputs = [samples[path].by_channel for path in paths]
        weights = [_by_channel(usable[path].parameter(model), usable[path], samples[path]) for path in paths]
        exponents = _exponents(_largest(inputs), _largest(weights), alpha)
        found |= {path: (exponents, norm) for path in paths if any(exponents)}
    return found


def preceding_norms(model: nn.Module, placements: Sequence[Placement]) -> dict[str, str]:
    """Norm layers with factors whose output goes into weights on tiles alone, through ReLU at most, by path of these.

    Read off the graph that torch.fx records; empty where a model cannot be recorded.
    """
    layers = {one.owners[0][0]: one.path for one in placements if len(one.owners) == 1 and one.owners[0][1] == "weight"}
    try:
        with eval_mode(model):
            graph = fx.symbolic_trace(model)
    except Exception:  # a model may do to a symbolic value whatever fails; then its inputs are divided digitally
        return {}
    called = [str(node.target) for node in graph.graph.nodes if node.op == "call_module"]
    found: dict[str, str] = {}
    for node in graph.graph.nodes:
        if node.op != "call_module" or called.count(str(node.target)) > 1:
            continue
        norm = graph.get_submodule(str(node.target))
        if not isinstance(norm, _NORMS) or norm.weight is None:
            continue
        readers = [str(reader.target) if reader.op == "call_module" else "" for reader in _readers(node, graph)]
        if readers and all(reader in layers and called.count(reader) == 1 for reader in readers):
            found |= {layers[reader]: str(node.target) for reader in readers}
    return found


def _readers(node: fx.Node, graph: fx.GraphModule) -> Iterator[fx.Node]:
    """What reads a node's output, behind functions f with f(x / s) = f(x) / s."""
    for user in node.users:
        target = type(graph.get_submodule(str(user.target))) if user.op == "call_module" else user.target
        if user.op.startswith("call") and target in _PASSING:
            yield from _readers(user, graph)
        else:
            yield user


def _is_usable(sample: InputSample) -> bool:
    return len(sample.vectors) > 0 and sample.by_channel is not None


def _by_channel(weight: Tensor, placement: Placement, sample: InputSample) -> Tensor:
    """The largest |weight| that each channel of the inputs meets."""
    matrix = placement.layout.to_matrix(weight.detach()).float().abs()
    blocks = matrix.view(sample.groups, -1, matrix.shape[1] // sample.positions, sample.positions)
    return blocks.amax(dim=(1, 3)).flatten()


def _largest(parts: Sequence[Tensor | None]) -> Tensor:
    return torch.stack([part for part in parts if part is not None]).amax(0)


def _exponents(inputs: Tensor, weights: Tensor, alpha: float) -> tuple[int, ...]:
    """Rounded exponents about their median; 0 for a channel without inputs.

    >>> _exponents(torch.tensor([16.0, 1.0, 1.0, 0.0]), torch.ones(4), 0.5)
    (2, 0, 0, 0)
    """
    least = weights.amax().clamp_min(torch.finfo(torch.float32).tiny) * 2.0**-_LARGEST
    sizes = alpha * inputs.log2() - (1 - alpha) * weights.clamp_min(least).log2()
    reached = inputs > 0
    if not reached.any():
        return (0,) * len(inputs)
    centred = (sizes - sizes[reached].median()).round().clamp(-_LARGEST, _LARGEST)
    return tuple(int(one) for one in torch.where(reached, centred, 0.0).tolist())
