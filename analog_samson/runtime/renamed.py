"""Names of version 0.1 that still work, for one release."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed_keyword(old: str, new: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: the function also takes its keyword `new` under the name `old`, with a DeprecationWarning.

    Raises:
        TypeError: From the decorated function, where both names are given.

    >>> @renamed_keyword("exclude", "keep_digital")
    ... def kept(*, keep_digital=()):
    ...     return list(keep_digital)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     print(kept(exclude=["head"]), caught[0].message)
    ['head'] kept: `exclude` is now called `keep_digital`; the old name will be removed in the next release
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = getattr(function, "__name__", "function")

        @wraps(function)
        def with_old_name(*args: P.args, **kwargs: P.kwargs) -> R:
            named: dict[str, Any] = kwargs
            if old in named:
                if new in named:
                    raise TypeError(f"{name}: `{old}` is the old name of `{new}`; give `{new}` alone")
                warnings.warn(
                    f"{name}: `{old}` is now called `{new}`; the old name will be removed in the next release",
                    DeprecationWarning,
                    stacklevel=2,
                )
                named[new] = named.pop(old)
            return function(*args, **kwargs)

        return with_old_name

    return decorate
