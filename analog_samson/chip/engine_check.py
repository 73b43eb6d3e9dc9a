"""Whether an engine can compute here: aihwkit's compiled tile works only with the torch that it was built for."""

import torch
from aihwkit.nn import AnalogLinear
from aihwkit.simulator import rpu_base
from aihwkit.simulator.configs import InferenceRPUConfig
from aihwkit.simulator.parameters import IOParameters
from torch import Tensor

from analog_samson.errors import InstallationError, OptionError
from analog_samson.runtime.installation import installed_version, working_set


def compiled_with_cuda() -> bool:
    """Whether the installed aihwkit has compiled tiles for CUDA."""
    return bool(rpu_base.cuda.is_compiled())


def check_engine(engine: str, device: torch.device) -> None:
    """Raise unless the engine can compute on this device; the fast engine always can.

    Raises:
        OptionError: aihwkit has no compiled tiles for the device.
        InstallationError: aihwkit's compiled tile does not work with the installed torch.
    """
    if engine != "aihwkit":
        return
    if device.type == "cuda" and not compiled_with_cuda():
        raise OptionError("engine aihwkit: the installed aihwkit has no CUDA tiles; use --device cpu or --engine fast")
    check_compiled_tile(device)


def check_compiled_tile(device: torch.device | str = "cpu") -> None:
    """Compare one small compiled tile with the matrix product; draws nothing from torch's streams.

    Raises:
        InstallationError: The tile fails or computes something else. The message has the versions that work together.
    """
    try:
        result, expected = _one_product(torch.device(device))
    except (RuntimeError, TypeError, AttributeError, ImportError) as error:
        raise InstallationError(_refusal((str(error) or type(error).__name__).splitlines()[0])) from error
    if not torch.allclose(result, expected, atol=1e-5):
        raise InstallationError(_refusal("it computes wrong products"))


def _refusal(reason: str) -> str:
    aihwkit, torch_ = installed_version("aihwkit"), installed_version("torch")
    return (
        f"aihwkit {aihwkit}'s compiled tile, which engine aihwkit needs, fails with torch {torch_} ({reason}); "
        f"use engine fast, or run: pip install {working_set()}"
    )


@torch.no_grad()
def _one_product(device: torch.device) -> tuple[Tensor, Tensor]:
    weight = torch.tensor([[0.5, -0.25, 0.125], [0.0, 1.0, -0.5]])
    with torch.random.fork_rng(devices=[]):  # aihwkit's layer draws weights first
        layer = AnalogLinear(3, 2, bias=False, rpu_config=InferenceRPUConfig(forward=IOParameters(is_perfect=True)))
        layer.set_weights(weight)
        return layer.eval().to(device)(torch.eye(3, device=device)), weight.to(device).T
