"""Where the weights are that a user names: in a file, in one of several copies in a file, or in shards in a folder."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from analog_samson.errors import CheckpointError, list_faults
from analog_samson.models.weight_files import EXPECTED, WeightFile, read_weights

INDEX = ".index.json"
ADAPTER = "adapter_config.json"
# What frameworks call the weights in a folder, in the order in which they are looked for.
_IN_FOLDERS = tuple(name + end for name in ("model.safetensors", "pytorch_model.bin") for end in (INDEX, ""))


def split_copy(named: str) -> tuple[str, str | None]:
    """A file and the name of one of its copies of the weights, from `FILE:COPY`; None where no copy is named.

    >>> split_copy("runs/net.pt")
    ('runs/net.pt', None)
    """
    path, colon, copy = named.rpartition(":")
    is_copy = bool(colon and copy) and "/" not in copy and Path(path).expanduser().is_file()
    return (path, copy) if is_copy and not Path(named).expanduser().exists() else (named, None)


def read_source(path: Path, copy: str | None = None) -> tuple[WeightFile, str]:
    """The weights of a file, of an index with its shards, or of a folder, and the SHA-256 of what was read.

    Raises:
        CheckpointError: A file or a shard is missing or cannot be read, or the folder holds no weights.
    """
    path = _weights_in(path) if path.is_dir() else path
    if path.name.endswith(INDEX) and path.is_file():
        return _read_shards(path, copy)
    found = read_weights(path, copy)
    named = b"" if copy is None else b"\0" + copy.encode()
    return found, hashlib.sha256(found.content + named).hexdigest()


def shards_of(index: Path) -> dict[Path, list[str]]:
    """The shards of an index with the names of their weights.

    Raises:
        CheckpointError: The index cannot be read, or a shard is not there.
    """
    try:
        mapping = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        pairs = [(str(name), index.parent / Path(file).name) for name, file in mapping.items()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index}: no index of shards; expected JSON with weight_map: name to file") from error
    shards: dict[Path, list[str]] = {}
    for name, shard in pairs:
        shards.setdefault(shard, []).append(name)
    missing = [f"{one.name}: missing, with {len(names)} weights" for one, names in shards.items() if not one.is_file()]
    if missing or not shards:
        raise CheckpointError(f"{list_faults(str(index), missing or ['it names no weight'])}\n  copy every shard there")
    return shards


def _read_shards(index: Path, copy: str | None) -> tuple[WeightFile, str]:
    if copy is not None:
        raise CheckpointError(f"{index}: shards hold one copy of the weights; leave :{copy} out")
    digest = hashlib.sha256(index.read_bytes())
    state: dict[str, Tensor] = {}
    for shard, names in shards_of(index).items():
        found = read_weights(shard)
        if lacking := [name for name in names if name not in found.state]:
            raise CheckpointError(f"{shard}: lacks {', '.join(lacking[:3])}, which {index.name} says it holds")
        state |= {name: found.state[name] for name in names}
        digest.update(hashlib.sha256(found.content).digest())
        last = found
    return replace(last, state=state, content=b""), digest.hexdigest()


def _weights_in(folder: Path) -> Path:
    """The file or index with the weights in a folder that a framework wrote."""
    if (folder / ADAPTER).is_file():
        raise CheckpointError(
            f"{folder}: holds adapters, not a network; name it as --model hf:{folder}, which loads the base too"
        )
    inside = folder / "checkpoint.safetensors"
    if not inside.is_file():
        for name in _IN_FOLDERS:
            if (folder / name).is_file():
                return folder / name
    hint = f"; did you mean {inside}?" if inside.is_file() else f"; {EXPECTED}"
    raise CheckpointError(f"{folder}: is a folder, not a checkpoint{hint}")
