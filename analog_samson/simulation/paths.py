"""The files that the options of a simulation name, for processes that run in another folder or on another machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analog_samson.data.sources import absolute_data, data_path
from analog_samson.models.huggingface import HUGGING_FACE, absolute_huggingface, parse_huggingface
from analog_samson.models.weight_sources import split_copy
from analog_samson.models.zoo.search import PREFIX
from analog_samson.presets.changes import join_changes, split_changes
from analog_samson.presets.search import preset_path


def absolute_paths(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with absolute paths of checkpoint, data, calibration images and preset files.

    Relative paths are taken from the current folder. What is no file of the user's stays as it is.

    >>> absolute_paths({"checkpoint": "zoo:resnet32_cifar10", "data": "digits", "preset": "ideal", "seed": 0})
    {'checkpoint': 'zoo:resnet32_cifar10', 'data': 'digits', 'preset': 'ideal', 'seed': 0}
    """
    changed = {name: absolute_data(options[name]) for name in ("data", "calibration_data") if options.get(name)}
    checkpoint, preset = options.get("checkpoint", ""), preset_path(options.get("preset", ""))
    if checkpoint.startswith(HUGGING_FACE):
        changed["checkpoint"] = absolute_huggingface(checkpoint)
    elif checkpoint and not checkpoint.startswith(PREFIX):
        changed["checkpoint"] = str(Path(checkpoint).expanduser().absolute())
    if options.get("layer_presets"):
        changed["layer_presets"] = str(Path(options["layer_presets"]).expanduser().absolute())
    if preset is not None:
        path = str(preset.expanduser().absolute())
        changed["preset"] = join_changes(path, split_changes(str(options["preset"]))[1])
    return {**options, **changed}


def files_of(options: Mapping[str, Any]) -> list[Path]:
    """The files and folders of `absolute_paths`."""
    checkpoint = options["checkpoint"]
    found = [_checkpoint_file(checkpoint), preset_path(options["preset"])]
    found += [data_path(options[name]) for name in ("data", "calibration_data") if options.get(name)]
    found += [Path(options["layer_presets"])] if options.get("layer_presets") else []
    return [path for path in found if path is not None]


def _checkpoint_file(checkpoint: str) -> Path | None:
    if checkpoint.startswith(HUGGING_FACE):
        return parse_huggingface(checkpoint).folder
    return None if checkpoint.startswith(PREFIX) else Path(split_copy(checkpoint)[0])
