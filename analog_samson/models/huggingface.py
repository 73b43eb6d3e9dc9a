"""`hf:DIR_OR_ID`: networks of Hugging Face's transformers, with their weights and tokenizer.

Weights are read from safetensors, or from .bin files by ``torch.load(weights_only=True)``, in one file or in shards. A
folder may hold adapters of PEFT; the base comes from its own folder. Code that a folder brings never runs.
"""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from analog_samson.errors import ModelError, did_you_mean
from analog_samson.models.adapters import read_adapter, with_adapter
from analog_samson.models.weight_sources import ADAPTER, INDEX, shards_of

HUGGING_FACE = "hf:"
_WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class HuggingFaceSpec:
    """What `hf:DIR_OR_ID,class=NAME` says: a folder or an id of the hub, and the class to build."""

    source: str
    kind: str | None = None

    @property
    def folder(self) -> Path | None:
        """The folder, where the source is one."""
        path = Path(self.source).expanduser()
        return path if path.is_dir() else None


def parse_huggingface(spec: str) -> HuggingFaceSpec:
    """Read `hf:DIR_OR_ID[,class=NAME]`.

    >>> parse_huggingface("hf:bert,class=AutoModelForMaskedLM")
    HuggingFaceSpec(source='bert', kind='AutoModelForMaskedLM')
    """
    rest = spec.removeprefix(HUGGING_FACE)
    source, _, kind = rest.partition(",class=")
    if not source:
        raise ModelError(f"{spec}: expected hf:DIR or hf:ID, with ,class=AutoModelFor... where the class is not known")
    return HuggingFaceSpec(source, kind or None)


def absolute_huggingface(spec: str) -> str:
    """`spec` with an absolute path, for a process in another folder; an id of the hub stays as it is."""
    parsed = parse_huggingface(spec)
    if parsed.folder is None:
        return spec
    kind = "" if parsed.kind is None else f",class={parsed.kind}"
    return f"{HUGGING_FACE}{parsed.folder.absolute()}{kind}"


def load_huggingface(spec: HuggingFaceSpec) -> nn.Module:
    """The network in eval mode, float32, on the CPU.

    Args:
        spec: The folder or the hub's id. An id is looked up in the local cache first, then downloaded.

    Raises:
        ModelError: transformers is missing, the folder is no network, its class is not known, it needs code of its
            own, or it holds adapters without their base.
        CheckpointError: A shard of the weights is missing.
    """
    adapter = read_adapter(spec.folder)
    if adapter is None:
        return _build(spec)
    base = HuggingFaceSpec(adapter.base, spec.kind or adapter.kind)
    return with_adapter(_build(base, adapter.stored, labels=adapter.labels), adapter).float().eval()


def _build(spec: HuggingFaceSpec, stored: Collection[str] = (), labels: int | None = None) -> nn.Module:
    """A network with the weights of its own files.

    stored: names of weights that its files may lack, for adapters bring them. labels: outputs of its head.
    """
    transformers = _transformers(spec.source)
    config = _config(spec)
    if labels is not None and labels != config.num_labels:
        config.num_labels = labels
    for index in [] if spec.folder is None else sorted(spec.folder.glob(f"*{INDEX}")):
        shards_of(index)
    if getattr(config, "auto_map", None):
        raise ModelError(
            f"hf:{spec.source}: this network needs code of its own, which is not run; build it yourself and name it as "
            "package.module:callable"
        )
    kind = spec.kind or _architecture(transformers, config)
    known = [name for name in dir(transformers) if "For" in name or name.endswith("Model")]
    if not hasattr(transformers, kind):
        raise ModelError(f"hf:{spec.source}: transformers has no class {kind!r}{did_you_mean(kind, known)}")
    made, missing = _read(getattr(transformers, kind), spec, config)
    if missing and all(name.startswith("pooler.") for name in missing):  # encoders are often stored without
        made, missing = _read(getattr(transformers, kind), spec, config, add_pooling_layer=False)
    missing = [name for name in missing if name not in stored]
    if missing:
        named = ", ".join(missing[:3]) + (" and more" if len(missing) > 3 else "")
        raise ModelError(
            f"hf:{spec.source}: no weights for {named} of {kind}; choose the class that was trained, such as "
            f"hf:{spec.source},class={_architecture(transformers, config)}"
        )
    return _plain(made).eval()


def _plain(model: nn.Module) -> nn.Module:
    """The network with weights under weight norm as weights, so that they can be programmed, clipped and perturbed."""
    for module in model.modules():
        for name in list(getattr(module, "parametrizations", ())):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)
    return model


def _read(kind: Any, spec: HuggingFaceSpec, config: Any, **options: Any) -> tuple[nn.Module, list[str]]:
    """The network, and the weights that its files lack."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        made, told = kind.from_pretrained(
            spec.source, config=config, trust_remote_code=False, output_loading_info=True, **options
        )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(f"hf:{spec.source}: {_first_line(error)}") from error
    finally:
        logging.set_verbosity(before)
    return made.float(), sorted(told["missing_keys"])


def load_tokenizer(spec: HuggingFaceSpec) -> Any:
    """The tokenizer of the network; of adapters without one, their base's. Raises ModelError where there is none."""
    transformers = _transformers(spec.source)
    adapter = read_adapter(spec.folder)
    if adapter is not None and not (adapter.folder / "tokenizer_config.json").is_file():
        return load_tokenizer(HuggingFaceSpec(adapter.base))
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(spec.source, trust_remote_code=False)
    except Exception as error:  # a parser on damaged files may raise anything; nothing of ours runs in there
        raise ModelError(
            f"hf:{spec.source}: no tokenizer that can be read; put tokenizer.json and tokenizer_config.json there"
        ) from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):  # transformers 5 makes one without a vocabulary
        raise ModelError(
            f"hf:{spec.source}: no tokenizer: its vocabulary has special tokens only; "
            "put tokenizer.json and tokenizer_config.json there"
        )
    return tokenizer


def weights_fingerprint(spec: HuggingFaceSpec) -> str | None:
    """SHA-256 of config and weight files, by name and content, those of a base included; None for an id of the hub."""
    folder = spec.folder
    if folder is None:
        return None
    adapter = read_adapter(folder)
    config = folder / ("config.json" if adapter is None else ADAPTER)
    base = None if adapter is None else weights_fingerprint(HuggingFaceSpec(adapter.base))
    digest = hashlib.sha256((base or "").encode())
    for path in sorted({config, *(path for kind in _WEIGHTS for path in folder.glob(kind))}):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


class SentenceEmbedder(nn.Module):
    """An encoder whose token outputs are averaged over the text, for tasks that compare embeddings.

    Takes what the encoder takes; returns embeddings (N, width) of length 1.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **other: Any) -> Tensor:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden = self.encoder(input_ids=input_ids, attention_mask=mask, **other).last_hidden_state
        weight = mask[..., None].to(hidden.dtype)
        return functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=-1)


def _architecture(transformers: ModuleType, config: Any) -> str:
    named = [name for name in (config.architectures or []) if hasattr(transformers, name)]
    return named[0] if named else "AutoModel"


def _config(spec: HuggingFaceSpec) -> Any:
    transformers = _transformers(spec.source)
    folder = Path(spec.source).expanduser()
    looks_local = folder.is_absolute() or spec.source.startswith((".", "~")) or folder.exists()
    if looks_local and not (folder / "config.json").is_file():
        there = ", ".join(sorted(path.name for path in folder.glob("*"))[:8]) if folder.is_dir() else "no such folder"
        raise ModelError(f"hf:{spec.source}: no config.json ({there or 'an empty folder'})")
    try:
        if looks_local and json.loads((folder / "config.json").read_text(encoding="utf-8")).get("auto_map"):
            return type("Config", (), {"auto_map": True})()
        return transformers.AutoConfig.from_pretrained(spec.source, trust_remote_code=False)
    except Exception as error:  # a parser on damaged files may raise anything; nothing of ours runs in there
        raise ModelError(f"hf:{spec.source}: {_first_line(error)}") from error


def _transformers(source: str) -> ModuleType:
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ModelError(f"hf:{source}: transformers is not installed; pip install 'analog-samson[hf]'") from error
    return transformers


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
