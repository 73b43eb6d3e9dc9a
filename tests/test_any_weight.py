"""Every way in which a network can use a weight, on tiles, against a slow twin with the same devices and noise."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from reference.slow_layers import Twin, attention, linear, pointwise, recurrent, transposed
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from analog_samson import SimulatedDevice, load_preset, plan_conversion, rng
from analog_samson.chip.input_ranges import needs_calibration
from analog_samson.results.condition import Condition

IDEAL, PCM, RASCH = (load_preset(name) for name in ("ideal", "pcm_nandakumar_2019", "pcm_rasch_2023"))
_QUIET = {"output_noise": 0.0, "read_noise_kind": "none", "read_noise": 0.0, "ir_drop": 0.0}
SMALL_TILES = RASCH.tile.model_copy(update={"max_rows": 5, "max_columns": 4})
PRESETS = {
    "ideal": IDEAL,
    "weight noise": PCM,
    "8 bits, small tiles": RASCH.model_copy(
        update={"periphery": RASCH.periphery.model_copy(update=_QUIET), "tile": SMALL_TILES}
    ),
    "everything": RASCH,
}
DAY = Condition(stage="drift", time_seconds=86400.0)


class Wrapped(nn.Module):
    """A layer at the path `layer`, with a forward of its own."""

    def __init__(self, layer: nn.Module, forward: Callable[..., Any] = lambda layer, *x: layer(*x)) -> None:
        super().__init__()
        self.layer, self._compute = layer, forward

    def forward(self, *inputs: Any) -> Any:
        return self._compute(self.layer, *inputs)


class Bare(nn.Module):
    """A parameter of its own, used by a function."""

    def __init__(self, *shape: int, use: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.matrix, self._use = nn.Parameter(torch.randn(shape) / shape[-1] ** 0.5), use

    def forward(self, x: Tensor) -> Tensor:
        return self._use(x, self.matrix)


@dataclass
class Case:
    """A network, its twin, and inputs of both.

    silent: products of the twin draw other noise: for outputs that the network leaves out, or in another order.
    """

    build: Callable[[], nn.Module]
    twin: Callable[[Any], Twin]
    shapes: tuple[tuple[int, ...], ...]
    prepare: Callable[..., Any] = lambda *x: x
    prepare_twin: Callable[..., Any] = lambda *x: x
    silent: bool = False
    options: dict[str, Any] = field(default_factory=dict)


def bare(shape: tuple[int, ...], use: Any, matrix: Any, x: tuple[int, ...], compute: Any = None) -> Case:
    """A bare parameter whose products are those of a linear layer with the weight `matrix` of it."""

    def twin(model: Bare) -> Twin:
        layer = {"matrix": linear(matrix(model.matrix))}
        return Twin(layer, compute or (lambda at, x: at("matrix")(x)))

    return Case(lambda: Bare(*shape, use=use), twin, (x,))


def grouped(model: Bare) -> Twin:
    """Three blocks (inputs, outputs) with inputs of their own."""
    blocks = model.matrix.transpose(1, 2).reshape(-1, model.matrix.shape[1])

    def compute(at: Any, x: Tensor) -> Tensor:
        groups = len(model.matrix)
        vectors = x.expand(groups, *x.shape[-2:]).movedim(0, 1).flatten(1)
        return at("matrix")(vectors[..., None])[..., 0].unflatten(1, (groups, -1)).movedim(1, 0)

    return Twin({"matrix": pointwise(blocks, 1, groups=len(model.matrix))}, compute)


def attend(**options: Any) -> Callable[..., Any]:
    return lambda layer, q, k=None, v=None: layer(q, q if k is None else k, q if v is None else v, **options)


CAUSAL = torch.ones(4, 4, dtype=torch.bool).triu(1)
PADDED = torch.tensor([[False, False, False, True], [False, False, True, True]])


def mha(masks: dict[str, Any] = {}, shapes: Any = ((2, 4, 8),), silent: bool = False, **options: Any) -> Case:  # noqa: B006
    def twin(model: Any) -> Twin:
        slow = attention(model.layer, **masks)
        return slow

    def fill(*x: Tensor) -> tuple[Tensor, ...]:
        return (x[0], x[0], x[0]) if len(x) == 1 else x

    def build() -> nn.Module:
        return Wrapped(nn.MultiheadAttention(8, 2, batch_first=True, **options), attend(**masks))

    return Case(build, twin, shapes, prepare_twin=fill, silent=silent)


def rnn(kind: Any, lengths: list[int], **options: Any) -> Case:
    """Sequences of these lengths, packed where they differ."""

    def forward(layer: Any, x: Tensor) -> Tensor:
        if len(set(lengths)) == 1:
            return layer(x)[0]
        return pad_packed_sequence(layer(pack_padded_sequence(x, lengths))[0])[0]

    def sequences(x: Tensor) -> tuple[list[Tensor]]:
        return ([x[:length, place] for place, length in enumerate(lengths)],)

    def build() -> nn.Module:
        return Wrapped(kind(5, 6, **options), forward)

    shape = (max(lengths), len(lengths), 5)
    return Case(build, lambda model: recurrent(model.layer), (shape,), prepare_twin=sequences)


def cell(kind: Any, gates: int) -> Case:
    """One step of a cell, twice."""

    def twin(model: Any) -> Twin:
        layer = model.layer
        many: Any = {3: nn.GRU, 4: nn.LSTM, 1: nn.RNN}[gates](5, 6)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            setattr(many, f"{name}_l0", nn.Parameter(getattr(layer, name).detach().clone()))
        slow = recurrent(many)
        holder: Any = slow.layer
        holder.weight_ih, holder.weight_hh = holder.weight_ih_l0, holder.weight_hh_l0
        del holder.weight_ih_l0, holder.weight_hh_l0

        steps = slow._compute
        slow._compute = lambda at, x: steps(lambda path: at(path.replace("_l0", "")), [x[:, 0]])[-1]
        return slow

    def twice(layer: nn.Module, x: Tensor) -> Tensor:
        state: Any = layer(x[0], None)
        state = layer(x[1], state)
        return state[0] if gates == 4 else state

    return Case(lambda: Wrapped(kind(5, 6), twice), twin, ((2, 1, 5),), silent=True)


def conv(kind: Any, shape: tuple[int, ...], **options: Any) -> Case:
    return Case(lambda: Wrapped(kind(4, 6, 3, **options)), lambda model: transposed(model.layer), (shape,))


def bilinear(model: Any) -> Twin:
    weight = model.layer.weight

    def compute(at: Any, first: Tensor, second: Tensor) -> Tensor:
        columns = at("layer")(second).view(len(second), *weight.shape[:2])
        return (columns * first[:, None]).sum(-1) + model.layer.bias

    return Twin({"layer": linear(weight.flatten(0, 1))}, compute)


def table(model: Any) -> Twin:
    weight = model.layer.weight
    return Twin({"layer": linear(weight.T)}, lambda at, ids: at("layer")(functional.one_hot(ids, len(weight)).float()))


def embedding() -> Case:
    ids = torch.tensor([[1, 4, 4], [0, 6, 2]])
    return Case(
        lambda: Wrapped(nn.Embedding(7, 3)),
        table,
        (),
        prepare=lambda: (ids,),
        prepare_twin=lambda x: (x,),
        options={"on_chip": ["embeddings"]},
    )


CASES = {
    "x @ w": bare((6, 5), lambda x, w: x @ w, lambda w: w.T, (3, 4, 6)),
    "x @ w.T": bare((5, 6), lambda x, w: x @ w.T, lambda w: w, (3, 4, 6)),
    "w @ x": bare((5, 6), lambda x, w: w @ x, lambda w: w, (3, 6, 4), lambda at, x: at("matrix")(x.mT).mT),
    "w @ vector": bare((5, 6), lambda x, w: w @ x, lambda w: w, (6,), lambda at, x: at("matrix")(x[None])[0]),
    "addmm": bare(
        (6, 5), lambda x, w: torch.addmm(torch.ones(5), x, w, beta=2, alpha=3), lambda w: w.T, (4, 6),
        lambda at, x: 3 * at("matrix")(x) + 2,
    ),
    "linear": bare((5, 6), functional.linear, lambda w: w, (2, 4, 6)),
    "einsum": bare(
        (6, 2, 3), lambda x, w: torch.einsum("...d,dhk->...hk", x, w), lambda w: w.flatten(1).T, (2, 4, 6),
        lambda at, x: at("matrix")(x).unflatten(-1, (2, 3)),
    ),
    "einsum over heads": bare(
        (2, 3, 6), lambda x, w: torch.einsum("bthk,hkd->btd", x, w), lambda w: w.flatten(0, 1).T, (2, 4, 2, 3),
        lambda at, x: at("matrix")(x.flatten(2)),
    ),
    "einsum of three": bare(
        (2, 3, 6), lambda x, w: torch.einsum("nts,nshk,hkd->ntd", x.mean(-1).mean(-1)[:, None].expand(-1, 4, -1), x, w),
        lambda w: w.flatten(0, 1).T, (2, 4, 2, 3),
        lambda at, x: at("matrix")(x.mean(-1).mean(-1)[:, None].expand(-1, 4, -1) @ x.flatten(2)),
    ),
    "stack of matrices": replace(bare(
        (3, 6, 2, 2), lambda x, w: torch.cat([torch.einsum("td,dhk->thk", x, part).flatten(1) for part in w], 1),
        lambda w: w.flatten(2).mT.flatten(0, 1), (4, 6),
    ), silent=True),
    "bmm": Case(lambda: Bare(3, 6, 5, use=torch.bmm), grouped, ((3, 4, 6),)),
    "matmul by blocks": Case(lambda: Bare(3, 6, 5, use=torch.matmul), grouped, ((4, 6),)),
    "einsum by blocks": Case(
        lambda: Bare(3, 6, 5, use=lambda x, w: torch.einsum("gni,gio->gno", x, w)), grouped, ((3, 4, 6),)
    ),
    "bilinear": Case(lambda: Wrapped(nn.Bilinear(3, 6, 2)), bilinear, ((4, 3), (4, 6))),
    "transposed 1d": conv(nn.ConvTranspose1d, (2, 4, 5), stride=2, padding=1, output_padding=1),
    "transposed 2d, groups": conv(nn.ConvTranspose2d, (2, 4, 3, 4), stride=2, padding=1, groups=2, dilation=2),
    "transposed 3d": conv(nn.ConvTranspose3d, (1, 4, 2, 2, 3), stride=(1, 2, 1)),
    "attention": mha(),
    "attention, masks": mha({"attn_mask": CAUSAL, "key_padding_mask": PADDED}),
    "cross-attention": mha(shapes=((2, 4, 8), (2, 5, 8), (2, 5, 8)), silent=True),
    "separate projections": mha(shapes=((2, 4, 8), (2, 5, 6), (2, 5, 4)), kdim=6, vdim=4),
    "LSTM": rnn(nn.LSTM, [4, 4, 4], num_layers=2),
    "LSTM, both ways, projected": rnn(nn.LSTM, [4, 4], bidirectional=True, proj_size=3, num_layers=2),
    "LSTM, packed, both ways": rnn(nn.LSTM, [5, 3, 3, 1], bidirectional=True, num_layers=2),
    "GRU, packed": rnn(nn.GRU, [4, 2, 1]),
    "GRU, both ways": rnn(nn.GRU, [3, 3], bidirectional=True),
    "RNN": rnn(nn.RNN, [3, 3], num_layers=2),
    "RNN, relu, packed": rnn(nn.RNN, [4, 2], nonlinearity="relu"),
    "LSTM cell": cell(nn.LSTMCell, 4),
    "GRU cell": cell(nn.GRUCell, 3),
    "RNN cell": cell(nn.RNNCell, 1),
    "embedding on the chip": embedding(),
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


def first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def drawn(case: Case, name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    with rng.stream(0, name):
        model = case.build().eval()
        return model, case.prepare(*(torch.randn(shape) for shape in case.shapes))


def on_chip(model: nn.Module, preset: Any, x: Any, **options: Any) -> Any:
    """The output of chip 0 after a day, and how many weights are on it."""
    plan = plan_conversion(model, preset, example=x, **options)
    ranges = {row.path: 2.5 for row in plan.rows} if needs_calibration(preset) else None
    device = SimulatedDevice(model, plan, input_ranges=ranges)
    with device.program(0, 0).at(DAY) as network:
        return network(*x), [placement.path for placement in plan.placements]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", CASES)
def test_use_on_tiles_equals_its_slow_twin(name, preset):
    case = CASES[name]
    if case.silent and preset == "everything":
        pytest.skip("the twin draws other noise")
    model, x = drawn(case, name)
    output, paths = on_chip(model, PRESETS[preset], x, **case.options)
    twin = case.twin(model).eval()
    slow = case.prepare_twin(*x)
    expected, twin_paths = on_chip(twin, PRESETS[preset], slow)
    assert sorted(paths) == sorted(twin_paths)
    torch.testing.assert_close(first(output), first(expected), rtol=1e-4, atol=1e-4)
    digital = model(*x)
    if preset == "ideal":
        torch.testing.assert_close(first(output), first(digital), rtol=1e-4, atol=1e-5)
    else:
        assert not torch.allclose(first(output), first(digital), rtol=1e-3, atol=1e-3)
