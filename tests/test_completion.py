"""The Tab key: commands, options, presets, networks of the zoo, models and files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analog_samson.cli.completion import completions


def test_tab_offers_presets_through_the_installed_command() -> None:
    asked = {"COMP_WORDS": "analog-samson simulate --preset pcm_ra", "COMP_CWORD": "3"}
    found = subprocess.run(
        [Path(sys.executable).with_name("analog-samson")],
        env={**os.environ, **asked, "_ANALOG_SAMSON_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert "pcm_rasch_2023" in found.stdout.split()


@pytest.mark.parametrize(
    ("option", "begun", "offered"),
    [("checkpoint", "zoo:resnet20", "zoo:resnet20_cifar10"), ("model", "resnet3", "resnet32")],
)
def test_tab_offers_names(option: str, begun: str, offered: str) -> None:
    offer = completions(option, ())
    assert offer is not None
    assert offered in offer(begun)
    assert all(name.startswith(begun) for name in offer(begun))


def test_tab_offers_files_and_choices_and_else_leaves_it_to_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").touch()
    Path("more").mkdir()
    offer, engine = completions("preset", ()), completions("engine", ("fast", "aihwkit"))
    assert offer is not None
    assert offer("m") == ["mine.toml", "more/"]
    assert engine is not None
    assert engine("f") == ["fast"]
    assert completions("data", ()) is None
