"""What a layer's weight matrix occupies on the tiles of a preset."""

from math import ceil

from analog_samson.crossbar.layout import Layout
from analog_samson.presets.schema import Preset


def occupy(layout: Layout, preset: Preset) -> dict[str, int]:
    """Tiles, cells and devices; groups that share a tile take rows and columns of their own.

    A side of a tile without a limit is as long as what lies on it.
    """
    row_limit, column_limit = preset.tile.max_rows, preset.tile.max_columns
    row_parts = ceil(layout.rows / row_limit) if row_limit else 1
    column_parts = ceil(layout.columns / column_limit) if column_limit else 1
    fitting = [limit // size for limit, size in ((row_limit, layout.rows), (column_limit, layout.columns)) if limit]
    groups_a_tile = max(1, min([layout.groups, *fitting]))
    bundles = ceil(layout.groups / groups_a_tile)
    rows, columns = layout.rows * layout.groups, layout.columns * layout.groups
    width = bundles * column_parts * column_limit or columns  # of all bundles side by side
    cells = row_parts * row_limit * width if row_limit else rows * (column_parts * column_limit or columns)
    return {
        "weights": layout.weights,
        "rows": rows,
        "columns": columns,
        "groups": layout.groups,
        "tiles": bundles * row_parts * column_parts,
        "cells": cells,
        "devices": layout.weights * preset.device.per_weight,
    }
