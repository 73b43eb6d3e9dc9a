"""The installation check and the command that prints it."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import typer
from typer.testing import CliRunner

from analog_samson.cli.doctor import doctor
from analog_samson.errors import InstallationError
from analog_samson.runtime import installation
from analog_samson.runtime.devices import bfloat16_is_emulated, bfloat16_notes

ROOT = Path(__file__).parents[1]


@pytest.fixture
def pretend(monkeypatch):
    """Pretend that other versions are installed (None: not installed)."""

    def set_versions(**versions):
        found = metadata.version

        def version(package):
            pretended = versions.get(package, "")
            if pretended is None:
                raise metadata.PackageNotFoundError(package)
            return pretended or found(package)

        monkeypatch.setattr(metadata, "version", version)

    return set_versions


def run_doctor():
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app)


def printed():
    """What doctor prints, by the name of the line, and its last line."""
    lines = run_doctor().output.splitlines()
    return {line[:20].strip(): line[20:] for line in lines}, lines[-1]


def test_check_installation_when_all_fits_is_silent():
    installation.check_installation()


@pytest.mark.parametrize("version", ["2.9.1", "2.10.0+cu128", "2.14.1+cpu", "3.0.0", "2.16.0.dev20261001"])
def test_check_installation_takes_every_torch_from_the_oldest_on(pretend, version):
    pretend(torch=version)
    installation.check_installation()


def test_check_installation_when_several_are_wrong_names_all(pretend):
    pretend(torch="2.8.0+cu128", pandas=None)
    with pytest.raises(InstallationError) as caught:
        installation.check_installation()
    text = str(caught.value)
    for part in ("torch 2.8.0+cu128 is installed, >=2.9.1 is needed", "pandas is not installed", "'pandas>=2'"):
        assert part in text


def test_working_set_is_that_of_the_constraints(monkeypatch):
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    monkeypatch.setattr(sys, "version_info", (3, 11, 7))
    assert set(installation.working_set().split()) <= set(pinned)
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    assert "aihwkit==1.2.0" in installation.working_set()


def test_check_installation_when_run_loads_no_torch():
    code = (
        "import sys; from analog_samson.runtime.installation import check_installation; check_installation();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_doctor_when_all_fits_prints_versions_and_what_there_is():
    lines, last = printed()
    assert lines["torch"] == torch.__version__.partition("+")[0] or lines["torch"] == torch.__version__
    assert lines["python"].split()[0] == sys.version.split()[0]
    assert lines["engine fast"] == "works"
    assert "everything" in last
    assert "1 used by torch" in lines["threads"]
    assert lines["data without files"].startswith("digits")
    assert {"torchvision", "aihwkit", "CUDA", "CUDA in aihwkit"} <= lines.keys()


@pytest.mark.compiled_tile
def test_doctor_when_the_compiled_tile_works_says_so():
    assert printed()[0]["engine aihwkit"] == "works"


def test_doctor_when_the_compiled_tile_fails_says_what_works_and_that_fast_does(monkeypatch):
    def refuse(*_):
        raise RuntimeError("weights must be a CPU tensor")

    monkeypatch.setattr("analog_samson.chip.engine_check._one_product", refuse)
    assert run_doctor().exit_code == 0
    lines, last = printed()
    assert lines["engine fast"] == "works"
    assert "weights must be a CPU tensor" in lines["engine aihwkit"]
    assert installation.working_set() in lines["engine aihwkit"]
    assert "engine fast" in last


def test_doctor_when_versions_do_not_fit_prints_them_and_fails(pretend):
    pretend(torch="2.8.0")
    result = run_doctor()
    assert result.exit_code == 1
    assert "torch               2.8.0" in result.output
    assert "engine" not in result.output
    assert isinstance(result.exception, InstallationError)


@pytest.mark.parametrize(("version", "tested"), [((3, 10, 4), True), ((3, 14, 0), False)])
def test_doctor_says_whether_this_python_is_tested(monkeypatch, version, tested):
    monkeypatch.setattr("analog_samson.runtime.installation.sys", SimpleNamespace(version_info=version))
    assert ("not tested" in printed()[0]["python"]) is not tested


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
