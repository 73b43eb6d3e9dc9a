"""What all tests share: one thread, the helpers of this folder, and real data where it is provided."""

from pathlib import Path

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
# The same examples each time: a failure can be repeated, and a busy machine fails nothing.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of real checkpoints and data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("real checkpoints and data (../shared) are not provided here")
    return SHARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` need a device."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))
