"""`analog-samson verify`: whether runs hold what their options give."""

from pathlib import Path
from typing import Annotated

from analog_samson.cli.from_options import Given, takes
from analog_samson.options import MACHINE, STATISTICS, Count, Options, Seed, option

EXAMPLE = "analog-samson verify runs/r20 runs/sweep --sample 20"


class VerifyCommand(Options):
    """Recompute some conditions of runs, and check versions, checkpoint, preset and data.

    Ends with 1 if anything differs, and names it. Nothing is written.
    """

    NAME = "verify"

    runs: Annotated[
        tuple[Path, ...],
        option(
            "Run folders, or folders with run folders in them.",
            metavar="RUN",
            is_argument=True,
            min_length=1,
        ),
    ]
    sample: Annotated[
        Count, option("How many conditions to recompute, each a chip at a time, drawn from all runs.", STATISTICS, "N")
    ] = 10
    seed: Annotated[Seed, option("Names the draw of the sample.", STATISTICS)] = 0
    device: Annotated[str | None, option("cpu, cuda, cuda:N or auto.", MACHINE, "DEVICE", default="the run's")] = None
    trust: Annotated[
        tuple[str, ...],
        option("Code that the runs may name: package.module:callable; may be repeated.", MACHINE, "CODE"),
    ] = ()


@takes(VerifyCommand, EXAMPLE)
def verify(given: Given) -> None:
    from analog_samson.errors import RunError, list_faults
    from analog_samson.simulation.verify import find_runs, sample_cells, verify_run

    options = VerifyCommand.from_text(given)
    runs = find_runs(options.runs)
    sampled = sample_cells(runs, options.sample, options.seed)
    told: list[str] = []
    for path, cells in sampled.items():
        found = verify_run(path, cells, trusted=options.trust, device=options.device)
        print(
            f"{path}: {found.conditions} of {found.of} conditions recomputed, {found.equal} of {found.values} values "
            f"equal to the bit, {len(found.differences)} differences"
        )
        told += [f"{path}: {difference}" for difference in found.differences]
    if len(sampled) < len(runs):
        print(f"{len(sampled)} of {len(runs)} runs have a condition in the sample; a larger --sample takes more")
    if told:
        raise RunError(list_faults("verify", told))
