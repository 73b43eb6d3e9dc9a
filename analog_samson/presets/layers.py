"""Presets of single layers, in a TOML file that maps patterns of layers to presets."""

from pathlib import Path

from analog_samson.errors import PresetError, list_faults
from analog_samson.presets.schema import Preset
from analog_samson.presets.search import load_preset
from analog_samson.runtime.plain_values import parse_toml


def read_layer_presets(file: Path | str) -> dict[str, Preset]:
    """The presets of a file such as::

        "embedding.*" = "ideal"
        "layers.*.feed_forward" = "pcm_hermes_2023_two_devices"
        "head" = "./mine.toml"

    Paths of presets are relative to the file. The last pattern that fits a layer decides.

    Args:
        file: A TOML file.

    Returns:
        Presets by pattern, in the order of the file.

    Raises:
        PresetError: The file is missing or no such mapping, or a preset cannot be loaded.
    """
    file = Path(file).expanduser()
    try:
        mapping = parse_toml(file.read_text(encoding="utf8"))
    except OSError as error:
        raise PresetError(f"{file}: cannot be read ({error.strerror}); expected a TOML file of layer presets") from None
    except ValueError as error:
        raise PresetError(f"{file}: no TOML file: {error}") from None
    faults, found = [], {}
    for pattern, name in mapping.items():
        if not isinstance(name, str):
            got = f"a {type(name).__name__}"
            faults.append(f'{pattern}: expected the name or file of a preset, got {got}; write "{pattern}" in quotes')
            continue
        beside = file.parent / name
        try:
            found[pattern] = load_preset(beside if name.endswith(".toml") and beside.is_file() else name)
        except PresetError as error:
            faults.append(f"{pattern}: {error}")
    if faults or not mapping:
        raise PresetError(list_faults(str(file), faults or ["it maps no layer to a preset"]))
    return found
