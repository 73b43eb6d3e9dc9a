"""`analog-samson sweep`: many simulations, checkpoints by presets by seeds, by several processes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analog_samson.cli.idle import INPUT_RANGE_HELP, refuse_idle_calibration, refuse_idle_input_range
from analog_samson.cli.preset_dirs import PresetDirs, resolve_preset
from analog_samson.cli.seeds import parse_seeds
from analog_samson.cli.typed import typed_options
from analog_samson.units import parse_times

if TYPE_CHECKING:
    from analog_samson.runtime.workers import Pool
    from analog_samson.simulation.options import SimulateOptions

EXAMPLE = """Example:

analog-samson sweep sgd=a.safetensors samson=b.safetensors --preset pcm_nandakumar_2019 --seeds 0-4 \
--data cifar10:DIR --workers 2 --out runs/sweep
"""


def sweep(
    context: typer.Context,
    checkpoints: Annotated[
        list[str], typer.Argument(help="Checkpoints: FILE, zoo:NAME, or NAME=FILE.", metavar="CHECKPOINT...")
    ],
    data: Annotated[str, typer.Option(help="Test data, as for simulate.")],
    preset: Annotated[
        list[str] | None,
        typer.Option(help="Hardware preset; give it again for more.", show_default="pcm_nandakumar_2019"),
    ] = None,
    preset_dir: PresetDirs = None,
    seeds: Annotated[
        str, typer.Option(help="One simulation for each seed, e.g. 0,1,2 or 0-9; their chips are pooled.")
    ] = "0",
    model: Annotated[str | None, typer.Option(help="Model name, if checkpoints do not say it.")] = None,
    times: Annotated[str, typer.Option(help="Times after programming (units s m h d w y).")] = "1s,1h,1d,1y",
    sigmas: Annotated[str, typer.Option(help="Values of sigma_c, or `none`.")] = "none",
    instances: Annotated[int, typer.Option(help="Simulated chips.", min=1)] = 10,
    limit: Annotated[int | None, typer.Option(help="Use the first N test images.", show_default="all")] = None,
    adabs: Annotated[bool, typer.Option("--adabs", help="Also with adapted batch-norm statistics.")] = False,
    calibration_data: Annotated[
        str | None, typer.Option(help="Images for AdaBS and input ranges.", show_default="training part of --data")
    ] = None,
    input_range: Annotated[str, typer.Option(help=INPUT_RANGE_HELP)] = "output_error",
    normalization: Annotated[
        str | None, typer.Option(help="Of the input, as for simulate.", show_default="the checkpoint's")
    ] = None,
    engine: Annotated[str, typer.Option(help="fast, or aihwkit: the tile's own forward.")] = "fast",
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    workers: Annotated[
        int | None, typer.Option(help="Simulations at a time.", show_default="1; with --address all workers there")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="CPU threads of each; equal threads give files equal to the byte.",
            show_default="cores / workers; with --address 1",
        ),
    ] = None,
    backend: Annotated[str, typer.Option(help="loky, dask or ray.")] = "loky",
    address: Annotated[
        str | None,
        typer.Option(help="Of a running Dask or Ray cluster whose workers see the same files.", show_default="none"),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the run folders and summary.csv; rerun the same command to resume.")
    ] = Path("runs/sweep"),
) -> None:
    from analog_samson.cli.simulate import parse_sigmas
    from analog_samson.runtime.workers import Pool
    from analog_samson.simulation.options import SimulateOptions

    base = SimulateOptions(
        checkpoint="",
        data=data,
        preset="",
        model=model,
        times=parse_times(times),
        sigmas=parse_sigmas(sigmas),
        instances=instances,
        limit=limit,
        adabs=adabs,
        calibration_data=calibration_data,
        input_range=input_range,
        normalization=normalization,
        engine=engine,
        device=device,
    )
    pool = Pool(workers=workers, backend=backend, threads_each=threads, address=address)
    presets = [resolve_preset(name, preset_dir) for name in preset or ["pcm_nandakumar_2019"]]
    typed = typed_options(context, ["calibration_data", "input_range"])
    refuse_idle_calibration("sweep", typed, presets, adabs=adabs)
    refuse_idle_input_range("sweep", typed, presets)
    _run(base, checkpoints, presets, parse_seeds(seeds), out, pool)


sweep.__doc__ = (
    f"Simulate every checkpoint on every preset with every seed, each in a run folder of its own.\n\n"
    f"summary.csv in --out gives mean and interval of every condition over the chips of all its seeds.\n\n{EXAMPLE}"
)


def _run(
    base: "SimulateOptions",
    checkpoints: list[str],
    presets: list[str],
    seeds: tuple[int, ...],
    out: Path,
    pool: "Pool",
) -> None:
    from analog_samson.cli.progress import cell_progress
    from analog_samson.runtime.installation import check_installation
    from analog_samson.simulation.sweep import SUMMARY_FILE, parse_checkpoints, plan_sweep, run_sweep

    check_installation()
    cells = plan_sweep(base, parse_checkpoints(checkpoints), presets, seeds, out)
    print(f"{len(cells)} simulations, {pool}", file=sys.stderr)
    with cell_progress(len(cells)) as progress:
        run_sweep(cells, out, pool, done=lambda place: progress(str(cells[place])))
    print("\n".join(str(cell) for cell in cells))
    print(f"wrote {out / SUMMARY_FILE}", file=sys.stderr)
