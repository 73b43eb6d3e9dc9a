"""Patterns on the command line: every checkpoint, preset and run that matches, or one clear message."""

from pathlib import Path

import pytest
from commands import error_of, output_of
from synthetic_runs import synthetic_run

from analog_samson.cli.globs import expanded, run_folders
from analog_samson.cli.main import app
from analog_samson.errors import OptionError


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.safetensors", "a.safetensors", "c.pt", "odd[1].pt"):
        (tmp_path / name).touch()
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.toml").touch()
    (tmp_path / "runs" / "figures").mkdir()
    return tmp_path


def test_patterns_become_what_they_match(files):
    given = {
        "checkpoint": ["*.safetensors", "mine=*.pt", "zoo:resnet20_cifar10", "odd[1].pt", "x=not-there.pt"],
        "preset": ["pcm_hermes_*", "ideal", "reram_wan_2022", "pcm_joshi_20?0@device.g_max_microsiemens=20"],
        "runs": ["runs/*"],
        "times": "1s",
    }
    (files / "odd[1].pt").rename(files / "odd[1].bin")
    given["checkpoint"][3] = "odd[1].bin"
    assert expanded(given) == {
        "checkpoint": [
            "a.safetensors",
            "b.safetensors",
            "mine=c.pt",
            "zoo:resnet20_cifar10",
            "odd[1].bin",
            "x=not-there.pt",
        ],
        "preset": [
            "pcm_hermes_2023_one_device",
            "pcm_hermes_2023_two_devices",
            "ideal",
            "reram_wan_2022",
            "pcm_joshi_2020@device.g_max_microsiemens=20",
        ],
        "runs": ["runs/one", "runs/two"],
        "times": "1s",
    }


@pytest.mark.parametrize(
    ("given", "facts"),
    [
        ({"checkpoint": ["nets/*.pt"]}, ["'nets/*.pt'", "no file matches"]),
        ({"checkpoint": ["net=*.safetensors"]}, ["2 files match", "leave net= out"]),
        ({"preset": ["pmc_*"]}, ["'pmc_*'", "no preset matches", "presets list"]),
        ({"preset": ["./presets/*.toml"]}, ["no file matches"]),
        ({"runs": ["sweeps/*"]}, ["'sweeps/*'", "no run folder matches"]),
        ({"runs": ["runs/fig*"]}, ["no run folder matches", "only runs/figures", "run.toml"]),
    ],
)
def test_pattern_without_a_match_is_refused(files, given, facts):
    with pytest.raises(OptionError) as caught:
        expanded(given)
    assert all(fact in str(caught.value) for fact in facts), caught.value


def test_pattern_finds_run_folders_at_any_depth(files):
    assert run_folders([Path("**")]) == [Path("runs/one"), Path("runs/two")]


def test_commands_take_patterns(tmp_path):
    for name in ("sgd", "samson"):
        synthetic_run(tmp_path / "runs" / name, name)
    shown = output_of(app, "report", f"{tmp_path}/runs/*", "--table", "overview", "--format", "csv")
    assert {line.split(",")[0] for line in shown.splitlines()[1:]} == {"samson", "sgd"}
    assert "no run folder matches" in error_of(app, "report", f"{tmp_path}/none/*")
    out = tmp_path / "sweep"
    assert "no file matches" in error_of(app, "sweep", f"{tmp_path}/*.pt", "--data", "digits", "--out", out)
    assert not out.exists()
