"""`make fuzz`: prints how many hostile inputs of each kind were refused and read; exit 1 if one did harm."""

import argparse
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from analog_samson.runtime import size_limit
from fuzz.guard import Guard, ran
from fuzz.judge import judge
from fuzz.kinds import KINDS

# Cases of each kind; those that take longest are fewest.
COUNTS = {
    "values to vary": 24_000,
    "pickles with code": 20_000,
    "arrays, npz": 10_000,
    "images": 8_000,
    "recordings": 8_000,
    "tar and zip": 8_000,
    "safetensors": 6_000,
    "torch checkpoints": 5_000,
    "arrays, idx and cifar": 5_000,
    "cards, small files": 5_000,
    "texts and tables": 4_000,
    "options": 4_000,
    "presets, experiments": 1_500,
    "states of trainings": 1_000,
    "tokenizers": 500,
    "run folders, records": 500,
    "run folders, meta": 400,
    "pages": 10,
}
MORE = 2**30  # bytes of address space beyond those in use after the imports
LINE = "{:<24}{:>8}{:>9}{:>8}{:>10}{:>9}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="kinds with this in their name")
    parser.add_argument("--share", type=float, default=1.0, help="of the number of cases")
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ[size_limit.VARIABLE] = "0.25"
    print(LINE.format("kind", "cases", "refused", "read", "failures", "seconds"), flush=True)
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name).resolve()
        os.chdir(folder)
        warm_up(folder / "warm")
        limit_memory()
        guard, begun = Guard(folder), time.monotonic()
        for kind, attempts in KINDS.items():
            if given.only not in kind:
                continue
            place, since = folder / kind.replace(" ", "_"), time.monotonic()
            place.mkdir()
            found = judge(attempts(place, max(1, round(COUNTS[kind] * given.share))))
            counts = {"cases": found.cases, "refused": found.refused, "read": found.read}
            counts["failures"] = found.failures.total()
            total.update(counts)
            print(LINE.format(kind, *counts.values(), f"{time.monotonic() - since:.0f}"), flush=True)
            for text, times in found.failures.most_common(8):
                print(f"  {times} x {text}", flush=True)
        print(LINE.format("all", *total.values(), f"{time.monotonic() - begun:.0f}"))
    print(f"code run: {len(ran)}; programs started, files changed or written elsewhere: {guard.seen.total()}")
    for text, times in guard.seen.most_common(20):
        print(f"  {times} x {text}")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB at most")
    return 1 if total["failures"] or ran or guard.seen else 0


def warm_up(folder: Path) -> None:
    """One case of each kind, so that all modules are loaded before memory is limited."""
    for kind, attempts in KINDS.items():
        place = folder / kind.replace(" ", "_")
        place.mkdir(parents=True)
        judge(attempts(place, 3))


def limit_memory() -> None:
    statm = Path("/proc/self/statm")  # Linux alone can limit the address space
    if statm.is_file():
        used = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MORE, used + MORE))


if __name__ == "__main__":
    sys.exit(main())
