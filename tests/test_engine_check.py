"""The check of aihwkit's compiled tile, and aihwkit where its compiled extension cannot be loaded."""

import subprocess
import sys

import pytest
import torch
from aihwkit.nn import AnalogLinear
from torch import nn

from analog_samson import convert, load_preset
from analog_samson.chip import engine_check
from analog_samson.errors import InstallationError, OptionError
from analog_samson.runtime.installation import working_set


@pytest.mark.compiled_tile
def test_check_compiled_tile_when_it_works_draws_nothing():
    before = torch.get_rng_state()
    engine_check.check_compiled_tile()
    assert torch.equal(torch.get_rng_state(), before)


def test_check_compiled_tile_when_the_tile_refuses_weights_says_what_works(monkeypatch):
    def refuse(*_):
        raise RuntimeError("weights must be a CPU tensor\nat line 5")

    monkeypatch.setattr(engine_check, "_one_product", refuse)
    with pytest.raises(InstallationError, match="fails") as caught:
        engine_check.check_compiled_tile()
    for part in (f"torch {torch.__version__.partition('+')[0]}", "(weights must be a CPU tensor)", "engine fast"):
        assert part in str(caught.value)
    assert str(caught.value).endswith(f"pip install {working_set()}")


@pytest.mark.compiled_tile
def test_check_compiled_tile_when_products_are_wrong_raises(monkeypatch):
    monkeypatch.setattr(AnalogLinear, "set_weights", lambda *_: None)
    with pytest.raises(InstallationError, match="wrong products"):
        engine_check.check_compiled_tile()


def test_engine_aihwkit_alone_needs_the_compiled_tile(monkeypatch):
    def refuse(*_):
        raise RuntimeError("weights must be a CPU tensor")

    monkeypatch.setattr(engine_check, "_one_product", refuse)
    model = nn.Linear(3, 2)
    assert convert(model, load_preset("ideal"))(torch.ones(1, 3)).shape == (1, 2)
    with pytest.raises(InstallationError, match="weights must be a CPU tensor"):
        convert(model, load_preset("ideal"), engine="aihwkit")
    with pytest.raises(InstallationError, match="weights must be a CPU tensor"):
        engine_check.check_engine("aihwkit", torch.device("cpu"))


def test_check_engine_when_aihwkit_has_no_cuda_tiles_offers_what_there_is(monkeypatch):
    monkeypatch.setattr(engine_check, "compiled_with_cuda", lambda: False)
    engine_check.check_engine("fast", torch.device("cuda"))
    with pytest.raises(OptionError, match="--engine fast"):
        engine_check.check_engine("aihwkit", torch.device("cuda"))


REFUSE_EXTENSION = """
from importlib.machinery import ExtensionFileLoader
load = ExtensionFileLoader.create_module
def refuse(self, spec):
    if spec.name == "aihwkit.simulator.rpu_base":
        raise ImportError("a.so: undefined symbol: x", path="a.so")
    return load(self, spec)
ExtensionFileLoader.create_module = refuse
"""
ONE_CHIP = """
import torch
from torch import nn
from analog_samson import convert, load_preset
torch.manual_seed(0)
analog = convert(nn.Linear(3, 2), load_preset("pcm_rasch_2023"))
analog.program_analog_weights()
analog.drift_analog_weights(3600.0)
answer = analog(torch.ones(1, 3)).tolist()
"""
ENGINE_AIHWKIT = """
from analog_samson.chip.engine_check import compiled_with_cuda
from analog_samson.errors import InstallationError
print(answer)
print(compiled_with_cuda())
try:
    convert(nn.Linear(3, 2), load_preset("ideal"), engine="aihwkit")
except InstallationError as error:
    print(error)
"""


def lines_of(code):
    run = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_fast_engine_when_the_extension_cannot_be_loaded_simulates_the_same_chip():
    answer, has_cuda, refusal = lines_of(REFUSE_EXTENSION + ONE_CHIP + ENGINE_AIHWKIT)
    exec(ONE_CHIP, here := {})
    assert answer == str(here["answer"])
    assert has_cuda == "False"
    assert "(undefined symbol: x)" in refusal
    assert "engine fast" in refusal
