"""Read and write digital checkpoints without ever running code from a file.

Own format: safetensors, with one JSON text (model name, data, normalisation, method, versions) in the header.
Files from elsewhere are read as `weight_files` and `weight_sources` say.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

import analog_samson
from analog_samson.errors import CheckpointError
from analog_samson.models.checkpoint_metadata import SCHEMA, parse_metadata
from analog_samson.models.weight_files import METADATA_KEY
from analog_samson.models.weight_sources import read_source, split_copy
from analog_samson.models.zoo.search import checkpoint_path
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.runtime.state_check import fit_names

_logger = logging.getLogger(__name__)
_COMPILED = "_orig_mod."  # what torch.compile puts before names
_WRAPPERS = ("module.", _COMPILED)  # what DataParallel and torch.compile put before every name


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The digital weights of a network and what is known about them.

    state: tensors on the CPU by parameter name, wrapper prefixes removed. metadata: plain JSON values; of a file
    from elsewhere only {"foreign": {...}} with the numbers and texts found beside the weights. sha256: of the
    file's bytes.
    """

    path: Path
    state: dict[str, Tensor]
    metadata: dict[str, Any]
    sha256: str

    def __repr__(self) -> str:
        """Which file it is and how large, in a line."""
        model, values = self.metadata.get("model", "no model named"), sum(t.numel() for t in self.state.values())
        told = f"{model}, {len(self.state)} tensors, {values:,} values, sha256 {self.sha256[:12]}"
        return f"<Checkpoint {self.path}: {told}>"


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint of any known format; the format is told by the content, not by the file's name.

    Args:
        path: Of a file; of an index of shards, or a folder with one; `zoo:NAME` for a network of the zoo; or
            `FILE:COPY` for one of several copies of the weights in a file, such as a moving average.

    Raises:
        CheckpointError: There is no such checkpoint, or it cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/net.safetensors", nn.Linear(2, 1), {"model": "mine"})
    ...     checkpoint = load_checkpoint(f"{folder}/net.safetensors")
    >>> sorted(checkpoint.state), checkpoint.metadata["model"]
    (['bias', 'weight'], 'mine')
    """
    named, copy = split_copy(str(path))
    path = checkpoint_path(named)
    found, sha256 = read_source(path, copy)
    metadata = {"foreign": dict(found.beside)} if found.beside else {}
    if found.text is not None:
        metadata = parse_metadata(found.text, path)
    if found.copies:
        _logger.info("%s: holds %s too; %s:%s takes that", path, ", ".join(found.copies), path, found.copies[0])
    return Checkpoint(path, _without_wrappers(path, found.state), metadata, sha256)


def save_checkpoint(
    path: Path | str, model_or_state: nn.Module | Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """Write weights and plain metadata as safetensors, whole or not at all; equal input gives equal bytes.

    `schema` and `versions` are added to the metadata, which must hold JSON values. The folder is made.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     files = [Path(folder) / name for name in ("a.safetensors", "b.safetensors")]
    ...     for file in files:
    ...         save_checkpoint(file, {"weight": torch.ones(2)}, {"model": "mine"})
    ...     files[0].read_bytes() == files[1].read_bytes()
    True
    """
    path = Path(path)
    state = model_or_state.state_dict() if isinstance(model_or_state, nn.Module) else model_or_state
    versions = {"analog_samson": analog_samson.__version__, "torch": torch.__version__}
    described = {"versions": versions, **metadata, "schema": SCHEMA}
    text = json.dumps(described, sort_keys=True, allow_nan=False)
    # A tensor under two names (tied layers) is written twice: safetensors takes no shared memory.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    make_folder(path.parent)
    write_atomically(path, save(tensors, {METADATA_KEY: text}))


def load_into(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy the checkpoint's weights into `model` (changed in place), or raise with every reason why they do not fit.

    Nothing is copied unless everything fits. `num_batches_tracked` may be absent (old files lack it). A prefix that all
    names of the file share, such as `model.` from a Lightning module, is removed if the names then fit, and logged.
    """
    own = _wrapper(model.state_dict())  # a network may call its only part `module`
    state = {own + name: tensor for name, tensor in checkpoint.state.items()}
    state, prefix, faults = fit_names(state, model)
    if faults and any(f".{_COMPILED}" in name for name in state):  # parts of the network were compiled
        plain = {name.replace(f".{_COMPILED}", "."): tensor for name, tensor in state.items()}
        state, prefix, faults = fit_names(plain, model)
    if prefix and not faults:
        _note_prefix(checkpoint.path, prefix)
    if faults:
        raise CheckpointError(f"{checkpoint.path}: does not fit the model\n  " + "\n  ".join(faults))
    model.load_state_dict(state, strict=False)


def _without_wrappers(path: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as the bare network has them."""
    wrapper = _wrapper(state)
    if wrapper:
        _note_prefix(path, wrapper)
    return {name.removeprefix(wrapper): tensor for name, tensor in state.items()}


def _note_prefix(path: Path, prefix: str) -> None:
    _logger.info("%s: all names of weights begin with %r; the prefix is removed", path, prefix)


def _wrapper(names: Iterable[str]) -> str:
    """What stands before every name, as wrappers put it there.

    >>> _wrapper(["module._orig_mod.weight", "module._orig_mod.bias"])
    'module._orig_mod.'
    """
    found, rest = "", [*names]
    while prefix := next((each for each in _WRAPPERS if rest and all(name.startswith(each) for name in rest)), ""):
        found, rest = found + prefix, [name.removeprefix(prefix) for name in rest]
    return found
