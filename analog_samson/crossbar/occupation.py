"""What a layer's weight matrix occupies on the tiles of a preset."""

from analog_samson.crossbar.layout import Layout
from analog_samson.presets.schema import Preset
from analog_samson.presets.tiling import tile_grid


def occupy(layout: Layout, preset: Preset) -> dict[str, int]:
    """Sizes, tiles, cells and devices of a layout, by the names of a plan's row."""
    limits, slices = (preset.tile.max_rows, preset.tile.max_columns), preset.tile.slices
    tiles, cells = tile_grid(layout.rows, layout.columns, layout.groups, *limits)
    return {
        "weights": layout.weights,
        "rows": layout.rows * layout.groups,
        "columns": layout.columns * layout.groups,
        "groups": layout.groups,
        "slices": slices,
        "tiles": tiles * slices,
        "cells": cells * slices,
        "devices": layout.weights * preset.device.per_weight * slices,
    }
