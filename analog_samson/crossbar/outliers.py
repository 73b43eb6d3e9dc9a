"""Weights far beyond the others of their layer, and the warning where they waste the conductance range.

With one scale a layer the largest weight is mapped to the largest conductance. The errors of the devices are a share
of that conductance, so for typical weights they grow with the ratio of the largest weight to the standard deviation.
"""

from collections.abc import Iterable, Mapping
from typing import Any

# An error of 5 % of the largest conductance, as PCM devices have it, is then as large as a typical weight.
MOST_DEVIATIONS = 20.0
_NAMED = 3


class OutlierWarning(UserWarning):
    """Single weights of a layer take up the conductance range, which one scale a layer maps to all of them.

    To silence it where that is known and intended:

    >>> import warnings
    >>> warnings.filterwarnings("ignore", category=OutlierWarning)
    """


def outlier_warning(rows: Iterable[Mapping[str, Any]]) -> str:
    """What to say of the records of a plan where outliers waste the conductance range; empty where they do not.

    Args:
        rows: Records of a plan; those of older versions, without `largest_over_std`, say nothing.

    >>> row = {"path": "up", "largest_over_std": 175.2, "weight_scaling": "per_layer", "shared_with": ""}
    >>> "up (175)" in outlier_warning([row]), outlier_warning([row | {"weight_scaling": "per_column"}])
    (True, '')
    """
    found = sorted(
        ((row["largest_over_std"], row["path"]) for row in rows if _is_wasteful(row)),
        key=lambda one: -one[0],
    )
    if not found:
        return ""
    named = [f"{path} ({ratio:.0f})" for ratio, path in found[:_NAMED]]
    more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (
        f"{len(found)} {'weight has' if len(found) == 1 else 'weights have'} outliers of more than "
        f"{MOST_DEVIATIONS:g} standard deviations, which waste the conductance range under one scale a layer. Largest "
        f"weight over standard deviation: {', '.join(named)}{more}. Choose a preset with one scale a column "
        "(such as pcm_nandakumar_2019_column_scaling), calibrate with --calibrate affine, clip the weights, or train "
        "with SAMSON and clipping."
    )


def _is_wasteful(row: Mapping[str, Any]) -> bool:
    ratio = row.get("largest_over_std") or 0.0
    is_alone = row.get("weight_scaling") == "per_layer" and not row.get("shared_with")
    return is_alone and bool(ratio > MOST_DEVIATIONS)
