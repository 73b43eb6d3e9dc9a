"""Read and write digital checkpoints without ever running code from a file.

Own format: safetensors, with one JSON text (model name, data, normalisation, method, versions) in the header.
Foreign `.pt`, `.pth` and `.th` files are read with `torch.load(weights_only=True)` only.
"""

import hashlib
import json
import logging
import pickle
import pickletools
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

import analog_samson
from analog_samson.errors import CheckpointError, list_faults
from analog_samson.models.checkpoint_metadata import SCHEMA, parse_metadata
from analog_samson.models.zoo.search import checkpoint_path
from analog_samson.results.atomic import make_folder, write_atomically
from analog_samson.runtime.size_limit import refuse_size
from analog_samson.runtime.state_check import claim_faults, fit_names
from analog_samson.runtime.torch_file import refuse_packed

_logger = logging.getLogger(__name__)
_METADATA_KEY = "analog_samson"  # one key only: safetensors writes several in no fixed order
# Where training scripts put the weights inside a checkpoint, most specific first.
_NESTINGS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights", "params")
# What DataParallel and torch.compile put before every name.
_WRAPPERS = ("module.", "_orig_mod.")


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


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint of any known format; the format is told by the content, not by the file's name.

    path: of a file, or `zoo:NAME` for a network that comes with the package.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/net.safetensors", nn.Linear(2, 1), {"model": "mine"})
    ...     checkpoint = load_checkpoint(f"{folder}/net.safetensors")
    >>> sorted(checkpoint.state), checkpoint.metadata["model"]
    (['bias', 'weight'], 'mine')
    """
    path = checkpoint_path(path)
    content = _read(path)
    if content[8:9] == b"{":  # safetensors: length of the header (8 bytes), then JSON
        state, metadata = _read_safetensors(path)
    elif content[:2] == b"PK" or content[:1] == b"\x80":  # torch: zip archive, or the older bare pickle
        state, metadata = _read_torch(path, content)
    else:
        raise CheckpointError(f"{path}: not a checkpoint (its first bytes are {content[:8]!r}); {_EXPECTED}")
    if faults := claim_faults(state, len(content)):
        raise CheckpointError(f"{list_faults(str(path), faults)}\n  save such weights with tensor.clone()")
    return Checkpoint(path, _without_wrappers(path, state), metadata, hashlib.sha256(content).hexdigest())


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
    write_atomically(path, save(tensors, {_METADATA_KEY: text}))


def load_into(model: nn.Module, checkpoint: Checkpoint) -> None:
    """Copy the checkpoint's weights into `model` (changed in place), or raise with every reason why they do not fit.

    Nothing is copied unless everything fits. `num_batches_tracked` may be absent (old files lack it). A prefix that all
    names of the file share, such as `model.` from a Lightning module, is removed if the names then fit, and logged.
    """
    own = _wrapper(model.state_dict())  # a network may call its only part `module`
    state = {own + name: tensor for name, tensor in checkpoint.state.items()}
    state, prefix, faults = fit_names(state, model)
    if prefix and not faults:
        _note_prefix(checkpoint.path, prefix)
    if faults:
        raise CheckpointError(f"{checkpoint.path}: does not fit the model\n  " + "\n  ".join(faults))
    model.load_state_dict(state, strict=False)


_EXPECTED = (
    "expected a .safetensors file written by analog-samson, or a .pt, .pth or .th file written by "
    "torch.save(model.state_dict(), ...)"
)


def _read(path: Path) -> bytes:
    if path.is_dir():
        inside = path / "checkpoint.safetensors"
        hint = f"; did you mean {inside}?" if inside.is_file() else f"; {_EXPECTED}"
        raise CheckpointError(f"{path}: is a folder, not a checkpoint{hint}")
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: is not a file, but a device or pipe; {_EXPECTED}")
    try:
        remedy = "use a machine with more memory"
        refuse_size(path.stat().st_size, f"{path}: reading it", remedy, CheckpointError)
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; {_EXPECTED}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); {_EXPECTED}") from error
    if not content:
        raise CheckpointError(f"{path}: the file is empty; copy or download it again")
    return content


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            text = (file.metadata() or {}).get(_METADATA_KEY)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged safetensors file ({error}); copy or download it again") from error
    return state, {} if text is None else parse_metadata(text, path)


def _read_torch(path: Path, content: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        refuse_packed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what matters is raised
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a parser on foreign bytes may raise anything; nothing of ours runs in there
        asked = _asked_for(str(error), content) if isinstance(error, pickle.UnpicklingError) else None
        raise CheckpointError(_refusal(path, asked) if asked else _damaged(path, error)) from error
    return _find_state(path, loaded)


def _asked_for(reason: str, content: bytes) -> str | None:
    """The code that a refused pickle asked for, by its name; None if it is merely damaged. Executes nothing."""
    if match := re.search(r"GLOBAL (\S+)", reason):
        return match[1]
    names: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in ("GLOBAL", "INST"):
                return str(argument).replace(" ", ".")
            if opcode.name == "STACK_GLOBAL":
                return ".".join(names[-2:])
            if isinstance(argument, str):
                names.append(argument)
    except ValueError:
        pass
    return None


def _refusal(path: Path, asked: str) -> str:
    return (
        f"{path}: refused, nothing in it was executed: beside weights it asks for {asked}, and running what a file "
        "asks for can do anything\n  If you trust its source, open it there and keep the weights alone:\n"
        "  torch.save(model.state_dict(), 'weights.pt')"
    )


def _damaged(path: Path, error: Exception) -> str:
    lines = [] if isinstance(error, pickle.UnpicklingError) else str(error).splitlines()
    return f"{path}: damaged or not a checkpoint ({lines[0] if lines else 'unreadable'}); {_EXPECTED}"


def _find_state(path: Path, content: object) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The mapping of tensors in a loaded file, one level deep at most, and the plain values beside it."""
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a mapping of weights; {_EXPECTED}")
    for name in _NESTINGS:
        if isinstance(content.get(name), Mapping) and _tensors(content[name]):
            return _only_tensors(path, content[name], name), _plain(content, without=name)
    if _tensors(content):
        return _only_tensors(path, content, ""), {}
    keys = ", ".join(map(str, list(content)[:10])) or "none"
    raise CheckpointError(
        f"{path}: no weights found (keys: {keys}); expected them at the top or under {', '.join(_NESTINGS)}"
    )


def _tensors(mapping: Mapping) -> bool:
    return any(isinstance(value, Tensor) for value in mapping.values())


def _only_tensors(path: Path, mapping: Mapping, where: str) -> dict[str, Tensor]:
    others = [f"{name} ({type(value).__name__})" for name, value in mapping.items() if not isinstance(value, Tensor)]
    if others:
        inside = f" under {where!r}" if where else ""
        raise CheckpointError(f"{path}: entries{inside} that are no tensors: {', '.join(others[:10])}; {_EXPECTED}")
    return {str(name): value for name, value in mapping.items()}


def _plain(content: Mapping, *, without: str) -> dict[str, Any]:
    kept = {
        str(name): value
        for name, value in content.items()
        if name != without and isinstance(value, str | int | float | bool)
    }
    return {"foreign": kept} if kept else {}


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
