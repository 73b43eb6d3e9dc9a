"""`analog-samson doctor`: does this installation work, and what is there to compute with?"""

import os
import platform
from typing import Annotated

import typer

_PACKAGES = ("analog-samson", "torch", "torchvision", "aihwkit")


def doctor(
    data: Annotated[
        list[str] | None, typer.Option(help="Also open this data, named as in `simulate --data`.", show_default=False)
    ] = None,
) -> None:
    """Check the installation: versions, both engines, threads, CUDA, data.

    Example: analog-samson doctor --data cifar10:DIR
    """
    from analog_samson.runtime.installation import (
        TESTED_PYTHONS,
        check_installation,
        installed_version,
        python_is_tested,
    )

    untested = "" if python_is_tested() else f" (not tested; the tests run with {', '.join(TESTED_PYTHONS)})"
    _say("python", platform.python_version() + untested)
    for package in _PACKAGES:
        _say(package, installed_version(package) or "not installed")
    check_installation()
    _check_fast_engine()
    _say("engine fast", "works")
    failure = _compiled_tile_failure()
    _say("engine aihwkit", f"does not work: {failure}" if failure else "works")
    _say_hardware()
    _say("data without files", "digits (comes with scikit-learn)")
    _say("data from files", "cifar10:DIR, cifar100:DIR, imagenet:DIR, folder:DIR, shards:DIR, npz:FILE")
    for spec in data or ():
        _say_data(spec)
    typer.echo("everything that engine fast needs is there" if failure else "everything needed is there")


def _say_data(spec: str) -> None:
    from analog_samson.data import open_data

    images = open_data(spec, "test")
    shape = "x".join(str(size) for size in images.images.shape[1:])
    _say(spec, f"{len(images):,} test images of {shape}, {images.num_classes} classes")


def _check_fast_engine() -> None:
    """Raise InstallationError unless a programmed and drifted layer on perfect hardware is the digital layer."""
    import torch
    from torch import nn

    from analog_samson.chip.convert import convert
    from analog_samson.errors import InstallationError
    from analog_samson.presets.search import load_preset

    layer, inputs = nn.Linear(3, 2), torch.eye(3)
    converted = convert(layer, load_preset("ideal"))
    converted.program_analog_weights()
    converted.drift_analog_weights(3600.0)
    if not torch.allclose(converted(inputs), layer(inputs), atol=1e-5):
        raise InstallationError("engine fast computes wrong products with this torch; report it with the lines above")


def _compiled_tile_failure() -> str | None:
    from analog_samson.chip.engine_check import check_compiled_tile
    from analog_samson.errors import InstallationError

    try:
        check_compiled_tile()
    except InstallationError as error:
        return str(error)
    return None


def _say_hardware() -> None:
    import torch

    from analog_samson.chip.engine_check import compiled_with_cuda
    from analog_samson.runtime.devices import bfloat16_is_emulated

    _say("threads", f"{torch.get_num_threads()} used by torch, {os.cpu_count()} cores")
    slow = bfloat16_is_emulated(torch.device("cpu"))
    _say("bfloat16 on the CPU", "emulated, slower than float32: leave bf16 off" if slow else "may be used")
    has_cuda = torch.cuda.is_available()
    _say("CUDA", torch.cuda.get_device_name() if has_cuda else "none; everything runs on the CPU")
    _say("CUDA in aihwkit", "yes" if compiled_with_cuda() else "no; its own tiles run on the CPU only")


def _say(what: str, value: str) -> None:
    typer.echo(f"{what:<19} {value}")
