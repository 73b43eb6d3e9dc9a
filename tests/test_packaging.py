"""The wheels and the source archive hold what they should and are small; they work from another folder."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import analog_samson

pytestmark = pytest.mark.xdist_group("packaging")  # one worker makes what these tests share
ROOT = Path(__file__).parents[1]
NEEDED = (
    *("hw_presets/pcm_nandakumar_2019.toml", "report/templates/report.html"),
    *(f"models/zoo/resnet32_cifar10.{kind}" for kind in ("safetensors", "json", "md")),
    *(f"models/zoo/resnet32_soup_cifar10.{kind}" for kind in ("json", "md")),
    "models/zoo/akamaster_pytorch_resnet_cifar10.BSD-2-Clause.txt",
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what is packaged, so that building leaves nothing in the repository."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("analog_samson", "hw_presets", "zoo"):
        unwanted = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
        shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, copy)
    return copy


def build(source: Path, kind: str, target: Path) -> Path:
    """Run the build backend (setuptools) of this environment; nothing is fetched."""
    code = f"import setuptools.build_meta as backend; print(backend.build_{kind}({str(target)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    return next(target.iterdir())


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build(source, "wheel", tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_presets_templates_and_networks(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for path in NEEDED:
        assert f"analog_samson/{path}" in names
    assert "analog_samson/py.typed" in names
    assert not [name for name in names if "study.toml" in name or name.startswith(("benchmarks", "docs"))]


@pytest.fixture(scope="module")
def zoo_wheel(source, tmp_path_factory):
    return build(source / "zoo", "wheel", tmp_path_factory.mktemp("zoo"))


def test_wheel_is_under_four_megabytes_and_leaves_other_weights_to_the_zoo(wheel, zoo_wheel):
    assert wheel.stat().st_size < 4_000_000
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(zoo_wheel) as beside:
        weights = [
            {Path(name).name for name in one.namelist() if name.endswith(".safetensors")} for one in (archive, beside)
        ]
        cards = {Path(name).stem for name in archive.namelist() if "/zoo/" in name and name.endswith(".json")}
        license_text = next(beside.read(name) for name in beside.namelist() if name.endswith("LICENSE.txt"))
    assert weights[0].isdisjoint(weights[1])
    assert {Path(name).stem for name in weights[0] | weights[1]} == cards
    own = "analog_samson/models/zoo/akamaster_pytorch_resnet_cifar10.BSD-2-Clause.txt"
    assert license_text == (ROOT / own).read_bytes()


def test_source_archive_holds_presets_templates_and_networks(source, tmp_path):
    with tarfile.open(build(source, "sdist", tmp_path)) as archive:
        names = archive.getnames()
    for path in NEEDED:
        assert any(name.endswith(path) for name in names)


def test_wheels_when_installed_list_presets_and_networks_from_another_folder(wheel, zoo_wheel, tmp_path):
    """A fresh folder of packages, without dependencies; those come from this environment."""
    target = tmp_path / "packages"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*command, str(wheel), str(zoo_wheel)], check=True, capture_output=True)
    code = (
        "import sys, analog_samson.cli.main as command; "
        "from analog_samson.models.zoo.search import checkpoint_path; "
        "files = [command.__file__, str(checkpoint_path('zoo:resnet32_soup_cifar10'))]; "
        f"assert all(file.startswith({str(target)!r}) for file in files), files; "
        "sys.exit(command.main(['presets', 'list']) + command.main(['zoo', 'list']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(target)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "pcm_nandakumar_2019" in result.stdout
    assert "resnet32_cifar10" in result.stdout


def test_citation_names_the_version():
    assert f"\nversion: {analog_samson.__version__}\n" in (ROOT / "CITATION.cff").read_text()
