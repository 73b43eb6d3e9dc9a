"""Which parameters are weight matrices, and which are digital by nature.

A weight matrix multiplies activations, so a crossbar could hold it. Norm weights, biases, lookup tables and everything
that is a vector are digital on every hardware that this package simulates.
"""

from torch import Tensor, nn

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
TABLES = (nn.Embedding, nn.EmbeddingBag)
# Last words of the names of parameters that are usually added or looked up: `pos_embed`, `relative_bias_table`.
_ADDED = ("bias", "embed", "embedding", "embeddings", "encoding", "pe", "pos", "position", "table", "token", "tokens")


def weight_matrices(module: nn.Module) -> dict[str, Tensor]:
    """The weight matrices that `module` holds itself, by name, as far as shapes and names tell.

    No norm and no lookup table has one, and neither counts a parameter that is `named_as_added`.

    >>> list(weight_matrices(nn.LSTM(2, 3)))
    ['weight_ih_l0', 'weight_hh_l0']
    >>> list(weight_matrices(nn.Embedding(2, 3)))
    []
    """
    return {name: tensor for name, tensor in matrix_shaped(module).items() if not named_as_added(name)}


def matrix_shaped(module: nn.Module) -> dict[str, Tensor]:
    """The parameters of a module, no norm or lookup table, with two or more dimensions that are longer than 1."""
    if isinstance(module, NORMS + TABLES):
        return {}
    return {
        name: parameter
        for name, parameter in module.named_parameters(recurse=False)
        if sum(size > 1 for size in parameter.shape) >= 2
    }


def named_as_added(name: str) -> bool:
    """Whether the name of a parameter says that it is added or looked up, which only an example can refute.

    >>> named_as_added("pos_embed"), named_as_added("mixing")
    (True, False)
    """
    return name.split("_")[-1] in _ADDED


def digital_nature(module: nn.Module) -> str:
    """Why a module without a weight matrix stays digital on any hardware."""
    if isinstance(module, NORMS):
        return "a norm"
    return "a lookup table" if isinstance(module, TABLES) else "no weight matrix"
