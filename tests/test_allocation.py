"""Freed memory stays with the process where glibc is the C library and the user has not decided otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from analog_samson.runtime.allocation import keep_freed_memory

on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")

# Page faults of three forwards of a small network, after three others.
FAULTS = """
import resource, sys, torch
from analog_samson.runtime.allocation import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
layers = [layer for _ in range(6) for layer in (torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.ReLU())]
model, x = torch.nn.Sequential(*layers), torch.randn(64, 8, 32, 32)
with torch.no_grad():
    for turn in range(6):
        if turn == 3:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        model(x)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    # Each process also starts from glibc's own fixed threshold, which it otherwise raises as blocks are freed.
    if how == "leave":
        clean["MALLOC_MMAP_THRESHOLD_"] = "131072"
    told = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True, env=clean)
    return int(told.stdout)


@on_glibc
def test_keep_freed_memory_saves_the_page_faults_of_later_forwards():
    assert faults("keep") < 0.1 * faults("leave")


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_keep_freed_memory_leaves_the_settings_of_the_user(name, monkeypatch):
    monkeypatch.setenv(name, "65536")
    assert not keep_freed_memory()


def test_keep_freed_memory_does_nothing_on_another_c_library(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
