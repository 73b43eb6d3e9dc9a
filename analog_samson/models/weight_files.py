"""The weights in one file, read without ever running code from it: safetensors, or what `torch.save` writes.

A file may hold several copies of the weights, such as those of a training and their moving average.
"""

import pickle
import pickletools
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from analog_samson.errors import CheckpointError, did_you_mean, list_faults
from analog_samson.runtime.size_limit import refuse_size
from analog_samson.runtime.state_check import claim_faults
from analog_samson.runtime.torch_file import refuse_packed

METADATA_KEY = "analog_samson"  # one key only: safetensors writes several in no fixed order
EXPECTED = (
    "expected a .safetensors file written by analog-samson, or a .pt, .pth, .th or .bin file written by "
    "torch.save(model.state_dict(), ...)"
)
# Where training scripts put the weights inside a checkpoint, most specific first.
_NESTINGS = ("state_dict", "model_state_dict", "model_state", "model", "net", "weights", "params")
# What to do where a file belongs to a library, by the first part of the name of what it asks for.
_REMEDIES = {
    "torchao": (
        "It holds weights quantised by torchao. Open it there and keep plain weights:\n"
        "  torch.save({name: value.dequantize() for name, value in model.state_dict().items()}, 'weights.pt')"
    ),
    "aihwkit": (
        "It holds layers of aihwkit. Open it there and keep the digital network, as it was before programming:\n"
        "  torch.save(aihwkit.nn.conversion.convert_to_digital(model).state_dict(), 'weights.pt')"
    ),
}
_REMEDY = (
    "If you trust its source, open it there and keep the weights alone:\n  torch.save(model.state_dict(), 'weights.pt')"
)
_COUNTER = "n_averaged"  # what torch's AveragedModel stores beside the weights


@dataclass(frozen=True, eq=False)
class WeightFile:
    """What a file holds.

    Attributes:
        state: The weights by name.
        content: The file's bytes.
        text: Our own metadata as JSON text; None in a file from elsewhere.
        beside: Numbers and texts found beside the weights.
        copies: Names of the other copies of the weights.
    """

    state: dict[str, Tensor]
    content: bytes
    text: str | None = None
    beside: Mapping[str, Any] | None = None
    copies: tuple[str, ...] = ()


def read_weights(path: Path, copy: str | None = None) -> WeightFile:
    """Read a file. Its content decides which format it has, not its name.

    Args:
        path: The file.
        copy: The name of one of several copies of the weights, or a part of it that fits no other; also what the names
            of all weights of that copy begin with.

    Raises:
        CheckpointError: The file is missing, damaged, no checkpoint, asks for code, or holds no such copy.
    """
    content = _read(path)
    if content[8:9] == b"{":  # safetensors: length of the header (8 bytes), then JSON
        state, text = _read_safetensors(path)
        found = WeightFile(_named(path, state, copy) if copy else state, content, text)
    elif content[:2] == b"PK" or content[:1] == b"\x80":  # torch: zip archive, or the older bare pickle
        found = _find_state(path, _read_torch(path, content), content, copy)
    else:
        raise CheckpointError(f"{path}: not a checkpoint (its first bytes are {content[:8]!r}); {EXPECTED}")
    if faults := claim_faults(found.state, len(content)):
        raise CheckpointError(f"{list_faults(str(path), faults)}\n  save such weights with tensor.clone()")
    return found


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path}: is not a file, but a device or pipe; {EXPECTED}")
    try:
        remedy = "use a machine with more memory"
        refuse_size(path.stat().st_size, f"{path}: reading it", remedy, CheckpointError)
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; {EXPECTED}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); {EXPECTED}") from error
    if not content:
        raise CheckpointError(f"{path}: the file is empty; copy or download it again")
    return content


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], str | None]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            return state, (file.metadata() or {}).get(METADATA_KEY)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged safetensors file ({error}); copy or download it again") from error


def _read_torch(path: Path, content: bytes) -> object:
    try:
        refuse_packed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what matters is raised
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a parser on foreign bytes may raise anything; nothing of ours runs in there
        asked = _asked_for(str(error), content) if isinstance(error, pickle.UnpicklingError) else None
        raise CheckpointError(_refusal(path, asked) if asked else _damaged(path, error)) from error


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
        f"asks for can do anything\n  {_REMEDIES.get(asked.partition('.')[0], _REMEDY)}"
    )


def _damaged(path: Path, error: Exception) -> str:
    lines = [] if isinstance(error, pickle.UnpicklingError) else str(error).splitlines()
    return f"{path}: damaged or not a checkpoint ({lines[0] if lines else 'unreadable'}); {EXPECTED}"


def _find_state(path: Path, loaded: object, content: bytes, copy: str | None) -> WeightFile:
    """The mapping of tensors in a loaded file, one level deep at most, and the plain values beside it."""
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path}: holds a {type(loaded).__name__}, not a mapping of weights; {EXPECTED}")
    copies = [str(name) for name, value in loaded.items() if isinstance(value, Mapping) and _holds_tensors(value)]
    if copy is None:
        name = next((known for known in _NESTINGS if known in copies), "")
        if not name and not _holds_tensors(loaded):
            keys = ", ".join(map(str, list(loaded)[:10])) or "none"
            named = f"; name one of them: {path}:{copies[0]}" if copies else ""
            raise CheckpointError(
                f"{path}: no weights found (keys: {keys}); expected them at the top or under {', '.join(_NESTINGS)}"
                f"{named}"
            )
    elif not copies and _holds_tensors(loaded):
        return WeightFile(_named(path, _only_tensors(path, loaded, ""), copy), content)
    else:
        name = _chosen(path, copies, copy)
    state = _only_tensors(path, loaded[name] if name else loaded, name)
    others = tuple(other for other in copies if other != name and _looks_alike(loaded[other], state))
    return WeightFile(state, content, beside=_plain(loaded) if name else None, copies=others)


def _chosen(path: Path, copies: list[str], copy: str) -> str:
    """The copy of that name, or the only one whose name holds it."""
    fitting = [copy] if copy in copies else [name for name in copies if copy.lower() in name.lower()]
    if len(fitting) == 1:
        return fitting[0]
    told = "several copies of that name" if fitting else f"no copy of the weights called {copy!r}"
    there = ", ".join(fitting or copies) or "none"
    raise CheckpointError(f"{path}: {told}{did_you_mean(copy, copies)}; the file has {there}")


def _named(path: Path, state: Mapping[str, Tensor], copy: str) -> dict[str, Tensor]:
    """The weights whose names begin with that of the copy, without it."""
    prefix = f"{copy}."
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not found:
        there = ", ".join(dict.fromkeys(name.partition(".")[0] for name in state))
        raise CheckpointError(f"{path}: no weights under {copy!r}; the file has weights under {there}")
    return found


def _looks_alike(other: Mapping[str, Any], state: Mapping[str, Tensor]) -> bool:
    """Whether another mapping of tensors has as many of them, so that it is a copy of the weights and no optimizer."""
    tensors = sum(isinstance(value, Tensor) for value in other.values())
    return abs(tensors - len(state)) <= 1  # a moving average may store a counter beside the weights


def _holds_tensors(mapping: Mapping) -> bool:
    return any(isinstance(value, Tensor) for value in mapping.values())


def _only_tensors(path: Path, mapping: Mapping, where: str) -> dict[str, Tensor]:
    others = [f"{name} ({type(value).__name__})" for name, value in mapping.items() if not isinstance(value, Tensor)]
    if any(type(value).__module__.startswith("torchao.") for value in mapping.values()):
        raise CheckpointError(f"{path}: {_REMEDIES['torchao']}")
    if any("_packed_params" in name for name in map(str, mapping)):
        raise CheckpointError(f"{path}: holds layers quantised by torch.ao; load the float checkpoint")
    if others:
        inside = f" under {where!r}" if where else ""
        raise CheckpointError(f"{path}: entries{inside} that are no tensors: {', '.join(others[:10])}; {EXPECTED}")
    rest = {str(name): value for name, value in mapping.items() if name != _COUNTER}
    averaged = len(rest) < len(mapping) and rest and all(name.startswith("module.") for name in rest)
    return rest if averaged else {str(name): value for name, value in mapping.items()}


def _plain(loaded: Mapping) -> dict[str, Any]:
    """Numbers and texts at the top of a loaded file."""
    return {str(name): value for name, value in loaded.items() if isinstance(value, str | int | float | bool)}
