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
    """Check the installation: versions, a compiled analog tile, threads, CUDA, data.

    Example: analog-samson doctor --data cifar10:DIR
    """
    from analog_samson.runtime.installation import check_installation, installed_version

    _say("python", platform.python_version())
    for package in _PACKAGES:
        _say(package, installed_version(package) or "not installed")
    check_installation()
    _check_tile()
    _say_hardware()
    _say("data without files", "digits (comes with scikit-learn)")
    _say("data from files", "cifar10:DIR, cifar100:DIR, imagenet:DIR, folder:DIR, npz:FILE")
    for spec in data or ():
        _say_data(spec)
    typer.echo("everything needed is there")


def _say_data(spec: str) -> None:
    from analog_samson.data import open_data

    images = open_data(spec, "test")
    shape = "x".join(str(size) for size in images.images.shape[1:])
    _say(spec, f"{len(images):,} test images of {shape}, {images.num_classes} classes")


def _check_tile() -> None:
    from analog_samson.errors import InstallationError
    from analog_samson.runtime.installation import REMEDY

    try:
        from analog_samson.chip.rpu import check_compiled_tile
    except (ImportError, OSError) as error:
        raise InstallationError(f"aihwkit cannot be loaded with this torch ({error}); {REMEDY}") from error
    check_compiled_tile()
    _say("compiled tile", "works")


def _say_hardware() -> None:
    import torch

    from analog_samson.chip.rpu import compiled_with_cuda
    from analog_samson.runtime.devices import bfloat16_is_emulated

    _say("threads", f"{torch.get_num_threads()} used by torch, {os.cpu_count()} cores")
    slow = bfloat16_is_emulated(torch.device("cpu"))
    _say("bfloat16 on the CPU", "emulated, slower than float32: leave bf16 off" if slow else "may be used")
    has_cuda = torch.cuda.is_available()
    _say("CUDA", torch.cuda.get_device_name() if has_cuda else "none; everything runs on the CPU")
    _say("CUDA in aihwkit", "yes" if compiled_with_cuda() else "no; its own tiles run on the CPU only")


def _say(what: str, value: str) -> None:
    typer.echo(f"{what:<19} {value}")
