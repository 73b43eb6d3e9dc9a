"""`make test-faults`: prints what kills, full disks and second drivers did to results; exit 1 if anything was lost."""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

import torch

from analog_samson.cli.main import COMMANDS
from faults.campaigns import Campaign, Outcome
from faults.forked import Process
from faults.private_disk import can_mount
from faults.scenarios import NETWORKS, SCENARIOS, train

# Of each kind on each command; the kinds that need worker processes take longest.
COUNTS = {
    "kill at a time": 13,
    "kill at a step": 22,
    "kill the driver": 4,
    "kill a worker": 4,
    "kill both": 4,
    "SIGTERM": 5,
    "limit on file sizes": 3,
    "full disk": 2,
    "read-only folder": 1,
    "two drivers": 2,
}
LINE = "{:<18}{:<22}{:>7}{:>9}{:>12}{:>6}{:>12}{:>11}{:>7}"
HEAD = ("command", "fault", "faults", "folders", "conditions", "lost", "duplicated", "different", "wrong")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="commands and faults with this in their name")
    parser.add_argument("--share", type=float, default=1.0, help="of the number of faults")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    load_everything()
    begun = time.monotonic()
    total = Outcome()
    kills = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        place = Path(name)
        networks = trained_networks(place / "networks")
        mounts = can_mount(place / "mount")
        print(LINE.format(*HEAD), flush=True)
        for scenario in SCENARIOS:
            draw = random.Random(f"{given.seed} {scenario.name}")
            campaign: Campaign | None = None
            for fault, count in COUNTS.items():
                if given.only not in f"{scenario.name}: {fault}":
                    continue
                campaign = campaign or Campaign(scenario, networks, place / scenario.name.replace(", ", "_"), draw)
                if fault not in campaign.faults():
                    continue
                if fault in ("full disk", "read-only folder") and not mounts:
                    print(f"{scenario.name:<18}{fault:<22}not tried: no right to mount, no user namespaces")
                    continue
                found = Outcome()
                campaign.faults()[fault](found, max(1, round(count * given.share)))
                kills += found.disturbed if "kill" in fault else 0
                show(scenario.name, fault, found)
                add(total, found)
    show("all", f"{kills} kills", total)
    print(f"{time.monotonic() - begun:.0f} s")
    return 0 if total.is_good else 1


def show(command: str, fault: str, found: Outcome) -> None:
    counts = (found.disturbed, found.folders, found.conditions, found.lost, found.duplicated, found.different)
    print(LINE.format(command, fault, *counts, len(found.wrong)), flush=True)
    for text in found.wrong if command != "all" else ():
        print(f"  {text}", flush=True)


def add(total: Outcome, found: Outcome) -> None:
    for name in ("disturbed", "folders", "conditions", "lost", "duplicated", "different"):
        setattr(total, name, getattr(total, name) + getattr(found, name))
    total.wrong += found.wrong


def trained_networks(folder: Path) -> Path:
    """Two small networks."""
    folder.mkdir()
    for name, seed in NETWORKS.items():
        arguments = [*train(seed).split(), "--out", f"train_{name}"]
        ended = Process.command(arguments, folder, folder / f"log_{name}").finish()
        if ended.status != 0:
            raise RuntimeError(ended.said)
        (folder / f"train_{name}" / "checkpoint.safetensors").rename(folder / f"{name}.safetensors")
    return folder


def load_everything() -> None:
    """Import in this process what the commands would import, so that each fork has it."""
    import importlib

    for name in COMMANDS:
        importlib.import_module(f"analog_samson.cli.{name}")
    for name in (
        "simulation.run",
        "simulation.sweep",
        "simulation.explore",
        "simulation.comparison",
        "training.job",
        "experiments.cells",
        "experiments.runner",
        "report.command",
        "report.exploration_page",
        "data.digits",
    ):
        try:
            importlib.import_module(f"analog_samson.{name}")
        except ModuleNotFoundError:
            print(f"no module {name}", file=sys.stderr)
    import matplotlib.pyplot  # noqa: F401
    import sklearn.datasets  # noqa: F401

    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main())
