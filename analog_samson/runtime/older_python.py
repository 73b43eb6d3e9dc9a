"""What Python 3.10 lacks of the standard library: `StrEnum`, `Traversable` and `tomllib`, under the names of 3.11."""

import sys
from enum import Enum

__all__ = ["StrEnum", "Traversable", "tomllib"]

if sys.version_info >= (3, 11):
    from enum import StrEnum
    from importlib.resources.abc import Traversable

    import tomllib
else:
    from importlib.abc import Traversable

    import tomli as tomllib

    class StrEnum(str, Enum):
        """Members are texts, and `str` gives the text."""

        __str__ = str.__str__
