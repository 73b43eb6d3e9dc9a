"""Whether the installed versions work together, read from package metadata: no torch is loaded."""

from importlib import metadata

from analog_samson.errors import InstallationError

# aihwkit's compiled tiles are built against one version of torch. With torch 2.9.1 they cannot be imported; with
# 2.13 and 2.14 they refuse all weights ("weights must be a CPU tensor").
REQUIRED = {"torch": "2.10.0", "torchvision": "0.25.0", "aihwkit": "1.1.0"}
REMEDY = f"run: pip install {' '.join(f'{name}=={version}' for name, version in REQUIRED.items())}"


def installed_version(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_installation() -> None:
    """Raise InstallationError with what does not fit and the remedy, unless torch, torchvision and aihwkit fit."""
    wrong = [_complaint(name, installed_version(name)) for name in REQUIRED if not _fits(name)]
    if wrong:
        raise InstallationError(f"these versions do not work together: {', '.join(wrong)}; {REMEDY}")


def _fits(name: str) -> bool:
    """Compared without the local build tag: 2.10.0+cpu and 2.10.0+cu128 are both torch 2.10.0."""
    version = installed_version(name)
    return version is not None and version.partition("+")[0] == REQUIRED[name]


def _complaint(name: str, version: str | None) -> str:
    got = f"{name} {version} is installed" if version else f"{name} is not installed"
    return f"{got}, {REQUIRED[name]} is needed"
