"""Which versions are installed, read from package metadata: no torch is loaded."""

import sys
from importlib import metadata

from packaging.requirements import Requirement

from analog_samson.errors import InstallationError, list_faults

PACKAGE = "analog-samson"
TESTED_PYTHONS = ("3.10", "3.11", "3.12", "3.13")
# aihwkit's compiled tile fits the torch that it was built for. 1.1.0 fails with torch 2.9.1, 2.13.0 and 2.14.1; 1.2.0
# fails with 2.10.0 and has wheels for Python 3.12 and newer. The first set is that of constraints.txt.
_COMPILED = {"torch": "2.10.0", "torchvision": "0.25.0", "aihwkit": "1.1.0"}
_COMPILED_FROM_PYTHON_313 = {"torch": "2.14.1", "torchvision": "0.29.1", "aihwkit": "1.2.0"}


def working_set() -> str:
    """What to install for a working compiled tile with this Python, as `pip install` takes it.

    >>> working_set().split()[0].startswith("torch==")
    True
    """
    versions = _COMPILED if sys.version_info < (3, 13) else _COMPILED_FROM_PYTHON_313
    return " ".join(f"{name}=={version}" for name, version in versions.items())


def installed_version(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def python_is_tested() -> bool:
    """Whether the tests of this version of the package have run with this Python."""
    return "{}.{}".format(*sys.version_info) in TESTED_PYTHONS


def check_installation() -> None:
    """Compare what is installed with what this package requires.

    Raises:
        InstallationError: With every package that is missing or does not fit, and the remedy.
    """
    needed = [Requirement(text) for text in metadata.requires(PACKAGE) or ()]
    needed = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [one for one in needed if not _fits(one)]
    if wrong:
        remedy = " ".join(f"'{one.name}{one.specifier}'" for one in wrong)
        raise InstallationError(list_faults(f"run: pip install {remedy}", [_complaint(one) for one in wrong]))


def _fits(needed: Requirement) -> bool:
    version = installed_version(needed.name)
    return version is not None and needed.specifier.contains(version, prereleases=True)


def _complaint(needed: Requirement) -> str:
    version = installed_version(needed.name)
    got = f"{needed.name} {version} is installed" if version else f"{needed.name} is not installed"
    return f"{got}, {needed.specifier or 'any version'} is needed"
