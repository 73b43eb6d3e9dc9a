"""LSTM, GRU and RNN as explicit steps of linear maps, so that each of their products can run on tiles.

The products with a layer's inputs are one call for all time steps; those with its hidden state are one call a step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from analog_samson.crossbar.use import register_body
from analog_samson.crossbar.weight import repeated_linear

_State = tuple[Tensor, ...]  # the hidden state first; (batch, features) each
_Linear = Callable[[Tensor], Tensor]
_Cell = Callable[[Tensor, _State, _Linear], _State]  # gates of the inputs, state, product with the hidden state


def _lstm_cell(gates: Tensor, state: _State, recurrent: _Linear) -> _State:
    hidden, memory = state
    take, forget, new, show = (gates + recurrent(hidden)).chunk(4, 1)
    memory = forget.sigmoid() * memory + take.sigmoid() * new.tanh()
    return show.sigmoid() * memory.tanh(), memory


def _gru_cell(gates: Tensor, state: _State, recurrent: _Linear) -> _State:
    (hidden,) = state
    reset, keep, new = gates.chunk(3, 1)
    own_reset, own_keep, own_new = recurrent(hidden).chunk(3, 1)
    new = (new + (reset + own_reset).sigmoid() * own_new).tanh()
    return (new + (keep + own_keep).sigmoid() * (hidden - new),)


def _tanh_cell(gates: Tensor, state: _State, recurrent: _Linear) -> _State:
    return ((gates + recurrent(state[0])).tanh(),)


def _relu_cell(gates: Tensor, state: _State, recurrent: _Linear) -> _State:
    return ((gates + recurrent(state[0])).relu(),)


def _network(
    cell: _Cell, x: Tensor, sizes: Sequence[int], initial: Sequence[Tensor], params: Sequence[Tensor], options: Any
) -> tuple[Tensor, list[Tensor]]:
    """All layers and directions.

    Args:
        cell: One step.
        x: (sum of sizes, features), time step by time step.
        sizes: How many sequences are running at each time step, in falling order.
        initial: Each part of the state, (layers * directions, batch, features).
        params: Weights and biases of each layer and direction, as torch orders them.
        options: (has_biases, num_layers, dropout, train, bidirectional).

    Returns:
        The output, ordered as x, and each part of the final state, shaped as `initial`.
    """
    has_biases, layers, dropout, train, bidirectional = options
    directions = 2 if bidirectional else 1
    width = len(params) // (layers * directions)
    final: list[_State] = []
    for layer in range(layers):
        outputs = []
        for backwards in range(directions):
            place = layer * directions + backwards
            weights = params[place * width : (place + 1) * width]
            state = tuple(part[place] for part in initial)
            output, state = _direction(cell, x, sizes, state, weights, has_biases, backwards=bool(backwards))
            outputs.append(output)
            final.append(state)
        x = torch.cat(outputs, dim=1) if bidirectional else outputs[0]
        if train and dropout and layer < layers - 1:
            x = functional.dropout(x, dropout)
    return x, [torch.stack(parts) for parts in zip(*final, strict=True)]


def _direction(
    cell: _Cell,
    x: Tensor,
    sizes: Sequence[int],
    initial: _State,
    weights: Sequence[Tensor],
    has_biases: bool,
    *,
    backwards: bool,
) -> tuple[Tensor, _State]:
    """One layer in one direction: its outputs for all time steps, and its final state."""
    bias_input, bias_hidden = weights[2:4] if has_biases else (None, None)
    recurrent = repeated_linear(weights[1], bias_hidden)
    project = repeated_linear(weights[-1], None) if len(weights) in (3, 5) else None
    gates = functional.linear(x, weights[0], bias_input).split(list(sizes))
    outputs: list[Tensor] = [x] * len(sizes)
    order = reversed(range(len(sizes))) if backwards else range(len(sizes))
    state = tuple(part[: sizes[-1] if backwards else sizes[0]] for part in initial)
    ended: list[_State] = []
    for time in order:
        running, count = len(state[0]), sizes[time]
        if count > running:  # backwards, longer sequences begin later
            state = tuple(torch.cat([part, start[running:count]]) for part, start in zip(state, initial, strict=True))
        elif count < running:
            ended.append(tuple(part[count:] for part in state))
            state = tuple(part[:count] for part in state)
        hidden, *others = cell(gates[time], state, recurrent)
        hidden = hidden if project is None else project(hidden)
        state = hidden, *others
        outputs[time] = hidden
    final = tuple(torch.cat(parts) for parts in zip(state, *reversed(ended), strict=True))
    return torch.cat(outputs), final


def _register_network(function: Callable[..., Any], cell: _Cell) -> None:
    @register_body(function)
    def run(*args: Any) -> tuple[Tensor, ...]:
        if not isinstance(args[3], bool):  # a packed sequence
            x, batch_sizes, state, params, *options = args
            sizes: list[int] = batch_sizes.tolist()
            output, final = _network(cell, x, sizes, _parts(state), params, options)
            return output, *final
        x, state, params, *options, batch_first = args
        steps = x.transpose(0, 1) if batch_first else x
        flat, sizes = steps.flatten(0, 1), [steps.shape[1]] * len(steps)
        output, final = _network(cell, flat, sizes, _parts(state), params, options)
        output = output.unflatten(0, steps.shape[:2])
        return output.transpose(0, 1) if batch_first else output, *final


def _register_cell(function: Callable[..., Any], cell: _Cell) -> None:
    @register_body(function)
    def run(
        x: Tensor,
        state: Tensor | Sequence[Tensor],
        weight_input: Tensor,
        weight_hidden: Tensor,
        bias_input: Tensor | None = None,
        bias_hidden: Tensor | None = None,
    ) -> Any:
        gates = functional.linear(x, weight_input, bias_input)
        new = cell(gates, tuple(_parts(state)), lambda h: functional.linear(h, weight_hidden, bias_hidden))
        return new[0] if isinstance(state, Tensor) else new


def _parts(state: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [state] if isinstance(state, Tensor) else list(state)


_CELLS: dict[str, _Cell] = {"lstm": _lstm_cell, "gru": _gru_cell, "rnn_tanh": _tanh_cell, "rnn_relu": _relu_cell}
for _name, _cell in _CELLS.items():
    _register_network(getattr(torch, _name), _cell)
    _register_cell(getattr(torch, f"{_name}_cell"), _cell)
