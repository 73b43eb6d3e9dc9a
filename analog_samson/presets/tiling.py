"""How a weight's blocks are cut into tiles of limited size."""

from math import ceil


def tile_grid(rows: int, columns: int, groups: int, row_limit: int, column_limit: int) -> tuple[int, int]:
    """The tiles of `groups` blocks of (rows, columns), and the crosspoints of all these tiles.

    Groups that share a tile take rows and columns of their own. A side without a limit is as long as what lies on it.

    Args:
        rows: Inputs of one block.
        columns: Outputs of one block.
        groups: Blocks along the diagonal.
        row_limit: Most inputs of a tile; 0 for no limit.
        column_limit: Most outputs of a tile; 0 for no limit.

    >>> tile_grid(300, 100, 1, 256, 256), tile_grid(9, 1, 64, 256, 256), tile_grid(300, 100, 1, 0, 0)
    ((2, 131072), (3, 196608), (1, 30000))
    """
    row_parts = ceil(rows / row_limit) if row_limit else 1
    column_parts = ceil(columns / column_limit) if column_limit else 1
    fitting = [limit // size for limit, size in ((row_limit, rows), (column_limit, columns)) if limit]
    bundles = ceil(groups / max(1, min([groups, *fitting])))
    width = column_parts * column_limit  # of one bundle; 0 where columns have no limit
    side_by_side = bundles * width or columns * groups
    crosspoints = row_parts * row_limit * side_by_side if row_limit else rows * groups * (width or columns * groups)
    return bundles * row_parts * column_parts, crosspoints
