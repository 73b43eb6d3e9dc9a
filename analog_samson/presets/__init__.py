"""Hardware presets: TOML files with every number of a simulated device, its source and where it holds."""

from analog_samson.presets.schema import Preset, parse_preset
from analog_samson.presets.search import list_presets, load_preset

__all__ = ["Preset", "list_presets", "load_preset", "parse_preset"]
