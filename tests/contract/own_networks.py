"""Networks written by hand: recurrent ones of every kind, a language model with tied weights, a vision transformer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

_SEQUENCES = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
_LENGTHS = torch.tensor([6, 2, 4])
_IDS = torch.arange(12).view(2, 6) % 11
_IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Recurrent(nn.Module):
    """Sequences (N, T, 5) -> logits (N, T, 3); `packed` ones end after _LENGTHS."""

    def __init__(self, layer: type[nn.RNNBase], *, packed: bool = False, **options: Any) -> None:
        super().__init__()
        self.layer, self.packed = layer(5, 8, batch_first=True, **options), packed
        width = options.get("proj_size") or 8
        self.head = nn.Linear(width * (2 if options.get("bidirectional") else 1), 3)

    def forward(self, x: Tensor) -> Tensor:
        if not self.packed:
            return self.head(self.layer(x)[0])
        sequences = pack_padded_sequence(x, _LENGTHS, batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.layer(sequences)[0], batch_first=True)[0])


class Cells(nn.Module):
    """The last state of one cell, step by step; (N, T, 5) -> (N, 3)."""

    def __init__(self, cell: type[nn.RNNCellBase], **options: Any) -> None:
        super().__init__()
        self.cell, self.head = cell(5, 8, **options), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        state: Any = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0] if isinstance(state, tuple) else state)


class TiedLanguageModel(nn.Module):
    """Token ids (N, T) -> logits (N, T, 11) of a causal transformer whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.position = nn.Embedding(11, 8), nn.Parameter(torch.randn(16, 8))
        self.layers = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=True), 2, enable_nested_tensor=False
        )
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        return self.head(self.layers(self.tokens(ids) + self.position[: ids.shape[1]], mask, is_causal=True))


class EinsumAttention(nn.Module):
    """Two heads with bare parameters (width, heads, width of a head)."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.qkv = nn.Parameter(torch.randn(3, width, heads, width // heads) / width**0.5)
        self.out = nn.Parameter(torch.randn(heads, width // heads, width) / width**0.5)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (torch.einsum("ntd,dhk->nhtk", x, matrix) for matrix in self.qkv)
        scores = torch.einsum("nhtk,nhsk->nhts", q, k) / k.shape[-1] ** 0.5
        return torch.einsum("nhts,nhsk,hkd->ntd", scores.softmax(-1), v, self.out)


class HandWrittenViT(nn.Module):
    """Images (N, 3, 16, 16) -> logits (N, 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Parameter(torch.randn(3 * 16, 8) / 48**0.5)
        self.class_token, self.pos_embed = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 17, 8))
        self.attention = nn.ModuleList(EinsumAttention() for _ in range(2))
        self.up = nn.ParameterList(torch.randn(16, 8) / 8**0.5 for _ in range(2))
        self.down = nn.ParameterList(torch.randn(8, 16) / 4 for _ in range(2))
        self.head_table = nn.Parameter(torch.randn(8, 5))

    def forward(self, images: Tensor) -> Tensor:
        patches = images.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        x = patches @ self.patches
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for attend, up, down in zip(self.attention, self.up, self.down, strict=True):
            x = x + attend(functional.layer_norm(x, (8,)))
            x = x + functional.linear(functional.gelu(functional.linear(x, up)), down)
        return x[:, 0] @ self.head_table


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "lstm": (lambda: Recurrent(nn.LSTM), _SEQUENCES),
    "lstm-2-layers": (lambda: Recurrent(nn.LSTM, num_layers=2), _SEQUENCES),
    "lstm-both-ways": (lambda: Recurrent(nn.LSTM, bidirectional=True), _SEQUENCES),
    "lstm-projected": (lambda: Recurrent(nn.LSTM, num_layers=2, bidirectional=True, proj_size=4), _SEQUENCES),
    "lstm-packed": (lambda: Recurrent(nn.LSTM, packed=True, bidirectional=True), _SEQUENCES),
    "gru": (lambda: Recurrent(nn.GRU), _SEQUENCES),
    "gru-both-ways-2-layers": (lambda: Recurrent(nn.GRU, num_layers=2, bidirectional=True), _SEQUENCES),
    "gru-packed": (lambda: Recurrent(nn.GRU, packed=True), _SEQUENCES),
    "rnn-tanh": (lambda: Recurrent(nn.RNN), _SEQUENCES),
    "rnn-relu": (lambda: Recurrent(nn.RNN, nonlinearity="relu", num_layers=2), _SEQUENCES),
    "rnn-packed": (lambda: Recurrent(nn.RNN, packed=True, bidirectional=True), _SEQUENCES),
    "lstm-cell": (lambda: Cells(nn.LSTMCell), _SEQUENCES),
    "gru-cell": (lambda: Cells(nn.GRUCell), _SEQUENCES),
    "rnn-cell": (lambda: Cells(nn.RNNCell), _SEQUENCES),
    "rnn-cell-relu": (lambda: Cells(nn.RNNCell, nonlinearity="relu"), _SEQUENCES),
    "tied-language-model": (TiedLanguageModel, _IDS),
    "hand-written-vit": (HandWrittenViT, _IMAGES),
}
