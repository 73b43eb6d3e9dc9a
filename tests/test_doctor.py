"""The installation check and the command that prints it."""

import subprocess
import sys
from importlib import metadata

import pytest
import torch
import typer
from typer.testing import CliRunner

from analog_samson.cli.doctor import doctor
from analog_samson.errors import InstallationError
from analog_samson.runtime import installation
from analog_samson.runtime.devices import bfloat16_is_emulated, bfloat16_notes

REMEDY = "run: pip install torch==2.10.0 torchvision==0.25.0 aihwkit==1.1.0"


@pytest.fixture
def pretend(monkeypatch):
    """Pretend that other versions are installed (None: not installed)."""

    def set_versions(**versions):
        def version(package):
            found = versions.get(package, installation.REQUIRED.get(package, "0.1.0"))
            if found is None:
                raise metadata.PackageNotFoundError(package)
            return found

        monkeypatch.setattr(metadata, "version", version)

    return set_versions


def run_doctor():
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app)


def test_check_installation_when_all_fits_is_silent():
    installation.check_installation()


@pytest.mark.parametrize("version", ["2.10.0", "2.10.0+cpu", "2.10.0+cu128"])
def test_check_installation_when_torch_has_a_build_tag_accepts_it(pretend, version):
    pretend(torch=version)
    installation.check_installation()


def test_check_installation_when_torch_is_too_new_names_it_and_the_remedy(pretend):
    pretend(torch="2.13.0")
    with pytest.raises(InstallationError) as caught:
        installation.check_installation()
    assert str(caught.value) == (
        f"these versions do not work together: torch 2.13.0 is installed, 2.10.0 is needed; {REMEDY}"
    )


def test_check_installation_when_several_are_wrong_names_all(pretend):
    pretend(torch="2.9.1", torchvision="0.24.1+cpu", aihwkit=None)
    with pytest.raises(InstallationError) as caught:
        installation.check_installation()
    assert str(caught.value) == (
        "these versions do not work together: torch 2.9.1 is installed, 2.10.0 is needed, torchvision 0.24.1+cpu is "
        f"installed, 0.25.0 is needed, aihwkit is not installed, 1.1.0 is needed; {REMEDY}"
    )


def test_check_installation_when_compared_with_the_package_asks_for_the_same_versions():
    requirements = metadata.requires("analog-samson") or []
    assert {f"{name}=={version}" for name, version in installation.REQUIRED.items()} <= set(requirements)


def test_check_installation_when_run_loads_no_torch():
    code = (
        "import sys; from analog_samson.runtime.installation import check_installation; check_installation();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_doctor_when_all_fits_prints_versions_and_what_there_is():
    result = run_doctor()
    assert result.exit_code == 0
    lines = {line[:20].strip(): line[20:] for line in result.output.splitlines()}
    assert {name: lines[name].partition("+")[0] for name in installation.REQUIRED} == installation.REQUIRED
    assert lines["python"] == sys.version.split()[0]
    assert lines["compiled tile"] == "works"
    assert "1 used by torch" in lines["threads"]
    assert lines["data without files"].startswith("digits")
    assert {"CUDA", "CUDA in aihwkit"} <= lines.keys()


def test_doctor_when_versions_do_not_fit_prints_them_and_fails(pretend):
    pretend(torch="2.13.0")
    result = run_doctor()
    assert result.exit_code == 1
    assert "torch               2.13.0" in result.output
    assert "compiled tile" not in result.output
    assert isinstance(result.exception, InstallationError)


def test_doctor_when_aihwkit_cannot_be_loaded_names_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "analog_samson.chip.rpu", None)
    result = run_doctor()
    assert isinstance(result.exception, InstallationError)
    assert REMEDY in str(result.exception)


@pytest.fixture
def cpu_with(monkeypatch):
    """Pretend that the CPU has these instructions, and no others for bfloat16."""

    def pretend_cpu(machine, *, avx512=False, amx=False):
        monkeypatch.setattr("platform.machine", lambda: machine)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)

    return pretend_cpu


@pytest.mark.parametrize(
    ("machine", "avx512", "amx", "device", "emulated"),
    [
        ("x86_64", False, False, "cpu", True),
        ("AMD64", False, False, "cpu", True),
        ("x86_64", True, False, "cpu", False),
        ("x86_64", False, True, "cpu", False),
        ("aarch64", False, False, "cpu", False),
        ("x86_64", False, False, "cuda", False),
    ],
)
def test_bfloat16_is_emulated_on_x86_without_instructions_for_it(cpu_with, machine, avx512, amx, device, emulated):
    cpu_with(machine, avx512=avx512, amx=amx)
    assert bfloat16_is_emulated(torch.device(device)) is emulated
    assert len(bfloat16_notes(True, torch.device(device))) == emulated
    assert bfloat16_notes(False, torch.device(device)) == ()


def test_doctor_when_bfloat16_is_emulated_says_so(cpu_with):
    cpu_with("x86_64")
    assert "bfloat16 on the CPU emulated, slower than float32: leave bf16 off" in run_doctor().stdout
