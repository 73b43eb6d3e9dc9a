"""Adapters that PEFT stored: a folder with low-rank updates of a base network, which lies in a folder of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from analog_samson.errors import ModelError
from analog_samson.models.weight_sources import ADAPTER

_WEIGHTS = "adapter_model.safetensors"
_KINDS = ("LORA", "ADALORA")  # what the plan knows as adapters, which stay digital by default
_CLASSES = {
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "TOKEN_CLS": "AutoModelForTokenClassification",
    "QUESTION_ANS": "AutoModelForQuestionAnswering",
    "CAUSAL_LM": "AutoModelForCausalLM",
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
}


@dataclass(frozen=True)
class Adapter:
    """An adapter folder.

    Attributes:
        folder: Where it lies.
        base: Folder or id of the base network.
        kind: The class of the base that its task tells; None where it tells none.
        stored: Shapes of the layers that it stores whole, such as a new head, by name in the base.
    """

    folder: Path
    base: str
    kind: str | None
    stored: Mapping[str, tuple[int, ...]]

    @property
    def labels(self) -> int | None:
        """The outputs of the head that it stores."""
        heads = [shape[0] for name, shape in self.stored.items() if len(shape) == 2 and name.endswith("weight")]
        return heads[-1] if heads and str(self.kind).endswith("Classification") else None


def read_adapter(folder: Path | None) -> Adapter | None:
    """The adapter of a folder; None where the folder holds none.

    Raises:
        ModelError: Its files are damaged or of another kind, or its base is not there.
    """
    if folder is None or not (folder / ADAPTER).is_file():
        return None
    where = f"hf:{folder}"
    try:
        config = json.loads((folder / ADAPTER).read_text(encoding="utf-8"))
        kind, base = config["peft_type"], config.get("base_model_name_or_path")
        with safe_open(folder / _WEIGHTS, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise ModelError(f"{where}: no readable adapter; expected {ADAPTER} and {_WEIGHTS} of PEFT there") from error
    if kind not in _KINDS or config.get("megatron_config"):
        raise ModelError(
            f"{where}: adapters of kind {kind} are not read, only {', '.join(_KINDS)}; merge them with "
            "merge_and_unload() where they were trained, save the network and name that folder"
        )
    names = {name.removeprefix("base_model.model."): shape for name, shape in shapes.items()}
    stored = {name: shape for name, shape in names.items() if ".lora_" not in name}
    return Adapter(folder, _find_base(folder, base), _CLASSES.get(config.get("task_type")), stored)


def _find_base(folder: Path, base: Any) -> str:
    """The base's folder, from the current one or beside the adapters; or an id of the hub, as it is written."""
    if isinstance(base, str) and base:
        path = Path(base).expanduser()
        for found in (path, folder / path, folder.parent / path):
            if (found / "config.json").is_file():
                return str(found)
        if not path.is_absolute() and not base.startswith(".") and base.count("/") < 2:
            return base
    told = f"{base}, which is not there" if base else "none"
    raise ModelError(
        f"hf:{folder}: adapters need their base network, and {ADAPTER} names {told}; put the base there, or write its "
        "folder or id of the hub into base_model_name_or_path"
    )


def with_adapter(base: nn.Module, adapter: Adapter) -> nn.Module:
    """The base with the adapters in it; a network of the base's class.

    Raises:
        ModelError: PEFT is not installed, or the adapters do not fit the base.
    """
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ModelError(
            f"hf:{adapter.folder}: holds adapters of PEFT, which is not installed; pip install peft, or merge the "
            "adapters with merge_and_unload() where they were trained and name the merged folder"
        ) from error
    try:
        return PeftModel.from_pretrained(base, str(adapter.folder)).get_base_model()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"hf:{adapter.folder}: the adapters do not fit {adapter.base}: {reason}") from error
