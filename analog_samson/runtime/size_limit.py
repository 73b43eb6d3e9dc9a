"""How much memory the content of one file may take; judged by what its header states, before anything is allocated."""

import math
import os
from contextlib import suppress
from pathlib import Path

from analog_samson.errors import AnalogSamsonError, OptionError

VARIABLE = "ANALOG_SAMSON_MAX_GIB"
_GIB = 2**30
KEPT_IN_MEMORY = _GIB  # unless the variable states otherwise; more is read from disk, where data can be
_CGROUP = Path("/sys/fs/cgroup/memory.max")  # of a container
_UNKNOWN = 16 * _GIB  # where the system does not say how much memory it has


def size_limit() -> int:
    """Bytes that the content of one file may take.

    Half of the memory that this process may use, or what the environment variable ANALOG_SAMSON_MAX_GIB states.
    """
    stated = os.environ.get(VARIABLE)
    return _available() // 2 if stated is None else _parse(stated)


def fits_in_memory(needed: int) -> bool:
    """Whether data that can be read from disk part by part is to be loaded whole.

    Args:
        needed: Its bytes.

    Returns:
        Whether it takes at most 1 GiB, or `size_limit` where that is less or stated by the environment variable.
    """
    limit = size_limit()
    return needed <= (limit if VARIABLE in os.environ else min(limit, KEPT_IN_MEMORY))


def refuse_size(needed: int, where: str, remedy: str, error: type[AnalogSamsonError]) -> None:
    """Raise `error` where `needed` bytes are more than `size_limit`.

    Args:
        where: The file, and what in it needs the memory.
        remedy: What the user can do besides raising the limit.
    """
    limit = size_limit()
    if needed > limit:
        raise error(
            f"{where} needs {_text(needed)} of memory, the limit is {_text(limit)}; {remedy}, "
            f"or raise the limit: {VARIABLE}={math.ceil(needed / _GIB)}"
        )


def _parse(text: str) -> int:
    try:
        return int(float(text) * _GIB)
    except (ValueError, OverflowError):
        raise OptionError(f"{VARIABLE}={text}: expected a number of GiB such as 16") from None


def _available() -> int:
    """The machine's memory, or less where the container or `ulimit -v` allows less."""
    known = []
    with suppress(AttributeError, OSError, ValueError):  # Windows has no sysconf
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ImportError):  # Windows has no such limits
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            known.append(soft)
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        known.append(int(_CGROUP.read_text(encoding="ascii")))
    return min(known, default=_UNKNOWN)


def _text(size: int) -> str:
    return f"{size / _GIB:.1f} GiB" if size < 2**60 else f"{size / _GIB:.1e} GiB"
