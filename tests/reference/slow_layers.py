"""The slow, obvious version of every way to use a weight: explicit loops around nn.Linear and 1 x 1 convolutions.

A twin has a layer at the path of each weight of its original, so that both have the same devices and draw the same
noise. Its layer's matrix is (outputs, inputs), written down here by hand.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn


def linear(weight: Tensor) -> nn.Linear:
    """A layer without bias with this weight (outputs, inputs)."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight.detach().clone())
    return layer


def pointwise(weight: Tensor, dims: int, groups: int = 1) -> nn.Module:
    """A 1 x 1 convolution with this weight (groups * outputs, inputs)."""
    kind: Any = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    layer = kind(weight.shape[1] * groups, weight.shape[0], 1, bias=False, groups=groups)
    layer.weight = nn.Parameter(weight.detach().clone().view(*weight.shape, *[1] * dims))
    return layer


class Twin(nn.Module):
    """Layers at the paths of an original's weights, and a forward that uses them by path."""

    def __init__(self, layers: dict[str, nn.Module], forward: Callable[..., Any]) -> None:
        super().__init__()
        for path, layer in layers.items():
            *parents, last = path.split(".")
            holder: nn.Module = self
            for name in parents:
                if not hasattr(holder, name):
                    holder.add_module(name, nn.Module())
                holder = holder.get_submodule(name)
            holder.add_module(last, layer)
        self._compute = forward

    def forward(self, *inputs: Any) -> Any:
        return self._compute(self.get_submodule, *inputs)


def transposed(layer: Any) -> Twin:
    """A transposed convolution: each position of the input adds its own patch to the output."""
    groups, kernel, dims = layer.groups, layer.kernel_size, len(layer.kernel_size)
    width, ins = layer.out_channels // groups, layer.in_channels // groups
    blocks = [layer.weight[g * ins : (g + 1) * ins].flatten(1).T for g in range(groups)]

    def forward(at: Callable[[str], nn.Module], x: Tensor) -> Tensor:
        patches = at("layer")(x)  # (N, groups * width * kernel positions, ...)
        sizes = [
            (n - 1) * s - 2 * p + d * (k - 1) + o + 1
            for n, s, p, d, k, o in zip(
                x.shape[2:], layer.stride, layer.padding, layer.dilation, kernel, layer.output_padding, strict=True
            )
        ]
        output = layer.bias.view(1, -1, *[1] * dims).repeat(len(x), 1, *sizes)
        patches = patches.view(len(x), groups * width, *kernel, *x.shape[2:])
        for place, offset in product(product(*map(range, x.shape[2:])), product(*map(range, kernel))):
            target = [
                i * s - p + o * d
                for i, s, p, o, d in zip(place, layer.stride, layer.padding, offset, layer.dilation, strict=True)
            ]
            if all(0 <= t < n for t, n in zip(target, sizes, strict=True)):
                output[(slice(None), slice(None), *target)] += patches[(slice(None), slice(None), *offset, *place)]
        return output

    return Twin({"layer": pointwise(torch.cat(blocks), dims, groups)}, forward)


def attention(layer: Any, **masks: Any) -> Twin:
    """Multi-head attention, head by head, with batch first."""
    packed = layer.in_proj_weight is not None
    weights = {"layer.out_proj": layer.out_proj.weight}
    if packed:
        weights["layer.in_proj_weight"] = layer.in_proj_weight
    else:
        weights |= {f"layer.{n}_proj_weight": getattr(layer, f"{n}_proj_weight") for n in "qkv"}
    width, heads = layer.embed_dim, layer.num_heads

    def projections(at: Callable[[str], Any], q: Tensor, k: Tensor, v: Tensor) -> Sequence[Tensor]:
        biases = layer.in_proj_bias.split(width)
        # torch has the batch second here, and the noise of the vectors comes in that order
        turned = [x.transpose(0, 1) for x in (q, k, v)]
        if not packed:
            parts = [at(f"layer.{name}_proj_weight")(x) for name, x in zip("qkv", turned, strict=True)]
        elif q is k:
            parts = list(at("layer.in_proj_weight")(turned[0]).split(width, -1))
        else:
            whole = [at("layer.in_proj_weight")(x) for x in turned]
            parts = [y[..., i * width : (i + 1) * width] for i, y in enumerate(whole)]
        return [(y + b).transpose(0, 1) for y, b in zip(parts, biases, strict=True)]

    def forward(at: Callable[[str], Any], q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        q, k, v = projections(at, q, k, v)
        size, mixed, seen = width // heads, [], []
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            scores = q[..., own] @ k[..., own].transpose(1, 2) / size**0.5
            if (mask := masks.get("attn_mask")) is not None:
                scores = scores.masked_fill(mask, -torch.inf)
            if (mask := masks.get("key_padding_mask")) is not None:
                scores = scores.masked_fill(mask[:, None], -torch.inf)
            seen.append(scores.softmax(-1))
            mixed.append(seen[-1] @ v[..., own])
        output = at("layer.out_proj")(torch.cat(mixed, -1).transpose(0, 1)) + layer.out_proj.bias
        return output.transpose(0, 1), torch.stack(seen).mean(0)

    return Twin({path: linear(weight) for path, weight in weights.items()}, forward)


def recurrent(layer: Any) -> Twin:
    """LSTM, GRU or RNN over a list of sequences, which may differ in length; gives the outputs of each, padded.

    The vectors of all time steps meet the input weights in one call, as a batch; the hidden states step by step.
    """
    names = [name for name in layer._flat_weights_names if name.startswith("weight")]
    layers = {f"layer.{name}": linear(getattr(layer, name)) for name in names}

    def step(at: Any, suffix: str, gates: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        own = at(f"layer.weight_hh_{suffix}")(h) + getattr(layer, f"bias_hh_{suffix}")
        if layer.mode == "LSTM":
            i, f, g, o = (gates + own).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            return (at(f"layer.weight_hr_{suffix}")(h) if layer.proj_size else h), c
        if layer.mode == "GRU":
            (r, z, n), (own_r, own_z, own_n) = gates.chunk(3, -1), own.chunk(3, -1)
            n = torch.tanh(n + torch.sigmoid(r + own_r) * own_n)
            z = torch.sigmoid(z + own_z)
            return (1 - z) * n + z * h, c
        return (torch.tanh if layer.mode == "RNN_TANH" else torch.relu)(gates + own), c

    def forward(at: Any, sequences: list[Tensor]) -> Tensor:
        lengths = [len(sequence) for sequence in sequences]  # the longest first
        running = [sum(length > time for length in lengths) for time in range(lengths[0])]
        x = [torch.stack([s[time] for s in sequences[:count]]) for time, count in enumerate(running)]
        for number in range(layer.num_layers):
            made = []
            for backwards in range(2 if layer.bidirectional else 1):
                suffix = f"l{number}" + ("_reverse" if backwards else "")
                gates = at(f"layer.weight_ih_{suffix}")(torch.cat(x)) + getattr(layer, f"bias_ih_{suffix}")
                gates = gates.split(running)
                h = torch.zeros(len(sequences), layer.proj_size or layer.hidden_size)
                c = torch.zeros(len(sequences), layer.hidden_size)
                outputs: dict[int, Tensor] = {}
                for time in reversed(range(lengths[0])) if backwards else range(lengths[0]):
                    count = running[time]
                    new = step(at, suffix, gates[time], h[:count], c[:count])
                    h, c = (torch.cat([part, old[count:]]) for part, old in zip(new, (h, c), strict=True))
                    outputs[time] = h[:count]
                made.append([outputs[time] for time in range(lengths[0])])
            x = [torch.cat(parts, -1) for parts in zip(*made, strict=True)]
        padded = torch.zeros(lengths[0], len(sequences), x[0].shape[1])
        for time, values in enumerate(x):
            padded[time, : len(values)] = values
        return padded

    return Twin(layers, forward)
