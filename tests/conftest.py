"""What all tests share: one thread, the helpers of this folder, and real data where it is provided."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from analog_samson.errors import InstallationError
from analog_samson.runtime.installation import installed_version

torch.set_num_threads(1)
# The same examples each time: a failure can be repeated, and a busy machine fails nothing.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(autouse=True)
def decoded_images(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded images go to a folder of the tests."""
    monkeypatch.setenv("ANALOG_SAMSON_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def shared() -> Path:
    """The folder of real checkpoints and data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("real checkpoints and data (../shared) are not provided here")
    return SHARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine or the installed torch cannot run; a test of engine aihwkit needs its compiled tile."""
    for item in items:
        if getattr(item, "callspec", None) and item.callspec.params.get("engine") == "aihwkit":
            item.add_marker("compiled_tile")
    missing = {} if torch.cuda.is_available() else {"gpu": "no CUDA device"}
    if any(item.get_closest_marker("compiled_tile") for item in items) and (reason := _compiled_tile_failure()):
        missing["compiled_tile"] = reason
    for item in items:
        for mark, reason in missing.items():
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


def _compiled_tile_failure() -> str | None:
    from analog_samson.chip.engine_check import check_compiled_tile

    try:
        check_compiled_tile()
    except InstallationError as error:
        return str(error).partition(";")[0]
    return None


def pytest_report_header() -> str:
    """Which versions are tested."""
    packages = ("torch", "torchvision", "aihwkit", "numpy", "pandas")
    return "versions: " + ", ".join(f"{name} {installed_version(name)}" for name in packages)


@pytest.fixture(autouse=True)
def accelerate_starts_anew() -> Iterator[None]:
    """Accelerate holds the precision of its first use, and whether gradients accumulate, for the whole process."""
    yield
    if "accelerate.state" in sys.modules:
        sys.modules["accelerate.state"].AcceleratorState._reset_state(True)
        sys.modules["accelerate.state"].GradientState._reset_state()
