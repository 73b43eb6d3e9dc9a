"""Which parameters are weight matrices, and which are digital by nature.

A weight matrix multiplies activations, so a crossbar could hold it. Norm weights, biases, lookup tables and everything
that is a vector are digital on every hardware that this package simulates.
"""

from torch import Tensor, nn

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
TABLES = (nn.Embedding, nn.EmbeddingBag)
# Last words of the names of parameters that are added or looked up: `pos_embed`, `cls_token`, `relative_bias_table`.
_ADDED = ("bias", "embed", "embedding", "embeddings", "encoding", "pe", "pos", "position", "table", "token", "tokens")


def weight_matrices(module: nn.Module) -> dict[str, Tensor]:
    """The weight matrices that `module` holds itself, by name.

    A matrix has two or more dimensions that are longer than 1. No norm and no lookup table has one, and neither counts
    a parameter whose name says that it is added or looked up, such as `pos_embed` or `class_token`.

    >>> list(weight_matrices(nn.LSTM(2, 3)))
    ['weight_ih_l0', 'weight_hh_l0']
    >>> list(weight_matrices(nn.Embedding(2, 3)))
    []
    """
    if isinstance(module, NORMS + TABLES):
        return {}
    return {
        name: parameter for name, parameter in module.named_parameters(recurse=False) if _is_matrix(name, parameter)
    }


def digital_nature(module: nn.Module) -> str:
    """Why a module without a weight matrix stays digital on any hardware."""
    if isinstance(module, NORMS):
        return "a norm"
    return "a lookup table" if isinstance(module, TABLES) else "no weight matrix"


def _is_matrix(name: str, parameter: Tensor) -> bool:
    return sum(size > 1 for size in parameter.shape) >= 2 and name.split("_")[-1] not in _ADDED
