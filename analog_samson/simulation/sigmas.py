"""Strengths of the generic Gaussian model, as options name them."""

from typing import Annotated

from pydantic import Field

from analog_samson.options import STATISTICS, Written, listed, option

Sigma = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def parse_sigmas(text: str) -> tuple[float, ...]:
    """Values of sigma_c in ascending order; none for `none`.

    >>> parse_sigmas("0.2, 0.1"), parse_sigmas("none")
    ((0.1, 0.2), ())
    """
    if text.strip() in ("", "none"):
        return ()
    return tuple(sorted({*listed(float, "numbers such as 0,0.1,0.2 or `none`")(text)}))


def _write_sigmas(sigmas: tuple[float, ...]) -> str:
    return ",".join(f"{sigma:g}" for sigma in sigmas) or "none"


Sigmas = Annotated[
    tuple[Sigma, ...],
    option("Values of sigma_c for the generic Gaussian conductance model, or `none`.", STATISTICS),
    Written(parse_sigmas, _write_sigmas, "SIGMAS"),
]
