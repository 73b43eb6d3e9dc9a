"""The commands whose results must not depend on how often they were interrupted: tiny networks, a few conditions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_DATA = "--data digits --limit 20"  # OMP_NUM_THREADS=1 sets the threads
_SIMULATED = f"{_DATA} --preset pcm_nandakumar_2019 --times 1s,1d"
NETWORKS = {"a": 0, "b": 1}  # and the seeds that they are trained with


@dataclass(frozen=True)
class Scenario:
    """A command that writes into the folder `out` of the folder it is started in.

    workers: processes beside the driver that can be killed as well.
    """

    name: str
    arguments: str
    workers: int = 0

    def command(self, networks: Path) -> Sequence[str]:
        """Its arguments, with the networks of that folder."""
        return [*self.arguments.replace("NETWORKS", str(networks)).split(), "--out", "out"]


def train(seed: int) -> str:
    return f"train --model digits_cnn --data digits --limit 64 --epochs 6 --method samson --rho 0.2 --seed {seed}"


_SWEEP = (
    f"a=NETWORKS/a.safetensors b=NETWORKS/b.safetensors {_SIMULATED} --seeds 0-1 --instances 2 --sigmas none --no-html"
)
_REPRODUCE = "reproduce fig2 --data digits --only digits_cnn_digits/sgd/ --limit-epochs 1 --limit-images 20"

SCENARIOS = (
    Scenario("train", f"{train(0)}"),
    Scenario(
        "simulate",
        f"simulate --checkpoint NETWORKS/a.safetensors {_SIMULATED} --instances 4 --sigmas 0.1 --no-html",
    ),
    Scenario(
        "compare",
        f"compare --checkpoint a=NETWORKS/a.safetensors --checkpoint b=NETWORKS/b.safetensors {_SIMULATED} "
        "--preset ideal --instances 2 --no-html",
    ),
    Scenario("sweep", f"sweep {_SWEEP}"),
    Scenario("sweep, 2 workers", f"sweep {_SWEEP} --workers 2", workers=2),
    Scenario("reproduce", f"{_REPRODUCE} --seeds 0 --instances 1"),
    Scenario(
        "explore",
        f"explore --checkpoint NETWORKS/a.safetensors {_DATA} --preset pcm_nandakumar_2019 --at 1d --instances 2 "
        "--vary programming.scale=0.5..2 --points 3 --keep digital-60 --no-html",
    ),
)
