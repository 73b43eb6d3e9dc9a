"""The command line as a user meets it: exit codes, messages, help."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import torch
import typer
from networks import seeded
from small import SMALL, Small

from analog_samson.cli.interruption import told_when_interrupted
from analog_samson.cli.main import COMMANDS, main
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.presets.search import load_preset
from analog_samson.runtime.installation import working_set


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A working directory with a checkpoint and test data."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "net.safetensors", seeded(Small), SMALL)
    images = np.random.default_rng(0).integers(0, 256, (30, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(30) % 3)
    return tmp_path


SIMULATE = [
    *("simulate", "--checkpoint", "net.safetensors", "--model", SMALL["model"], "--data", "npz:data.npz"),
    *("--instances", "1", "--no-html"),
]


def run(capsys, *arguments):
    """Exit code, standard output and standard error of one command."""
    code = main(list(arguments))
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_simulate_when_right_prints_the_answer_and_exits_0(files, capsys):
    code, out, err = run(capsys, *SIMULATE, "--times", "1s", "--sigmas", "none", "--out", "run")
    guess, task, normalization = err.splitlines()
    assert (code, task) == (0, "task classification")
    assert normalization == "normalization half: mean 0.5, std 0.5 (usual for the data npz)"
    assert guess.startswith("warning: net.safetensors: normalization half: mean 0.5, std 0.5 is a guess (usual for")
    assert guess.endswith("give --normalization")
    assert out.startswith("The accuracy of net is ")
    assert (files / "run" / "results.sqlite").is_file()


def test_report_when_csv_prints_rows_only(files, capsys):
    run(capsys, *SIMULATE, "--times", "1s", "--sigmas", "none", "--out", "run")
    code, out, _ = run(capsys, "report", "run", "--format", "csv")
    assert code == 0
    assert (
        out.splitlines()[0] == "checkpoint,preset,stage,calibration,instance,time_seconds,sigma_c,metric,value,coverage"
    )
    assert len(out.splitlines()) == 1 + 2 + 3


# Options of `simulate` and what the one message must hold.
WRONG = {
    "unknown preset": (["--preset", "pcm_nandakumar"], ["pcm_nandakumar_2019"]),
    "preset file missing": (["--preset", "./nowhere.toml"], ["nowhere.toml", "no such file"]),
    "time without a unit it knows": (["--times", "1x"], ["'1x'", "expected a number and a unit"]),
    "negative time": (["--times", "-1s"], ["'-1s'", "expected a number and a unit"]),
    "sigmas": (["--sigmas", "a,b"], ["'a,b'", "expected numbers"]),
    "engine": (["--engine", "slow"], ["'slow'", "fast, aihwkit"]),
    "device": (["--device", "tpu"], ["'tpu'", "cpu, cuda"]),
    "no such checkpoint": (["--checkpoint", "none.pt"], ["none.pt", "no such file"]),
    "no such data": (["--data", "npz:none.npz"], ["none.npz"]),
    "unknown data": (["--data", "cifar9:x"], ["cifar9"]),
    "no instances": (["--instances", "0"], ["--instances", "expected a whole number of 1 or more"]),
    "kept digital nothing": (["--keep-digital", "tail.*"], ["'tail.*' fits no layer path"]),
    "normalization": (["--normalization", "imagent"], ["imagenet"]),
    "adabs without calibration data": (["--adabs", "--calibration-data", "npz:no.npz"], ["no.npz"]),
    "config missing": (["--config", "none/run.toml"], ["run.toml"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_simulate_when_wrong_says_so_once_and_leaves_nothing(case, files, capsys):
    options, expected = WRONG[case]
    code, out, err = run(capsys, *SIMULATE, *options, "--out", "run")
    assert code in (1, 2)
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for text in expected:
        assert text in err
    assert not (files / "run").exists()


def test_simulate_when_preset_has_three_faults_lists_all(files, capsys):
    text = (load_preset.__globals__["resources"].files("analog_samson.hw_presets") / "ideal.toml").read_text()
    text = text.replace('name = "ideal"', 'name = "mine"').replace("g_max_microsiemens = ", "g_max = ")
    (files / "mine.toml").write_text(text.replace("pairs = 1", "pairs = true"))
    code, _, err = run(capsys, *SIMULATE, "--preset", "./mine.toml", "--out", "run")
    assert code == 1
    assert "3 problems" in err
    for fault in ("device.g_max_microsiemens", "device.g_max: unknown key", "device.pairs"):
        assert fault in err


def test_simulate_when_weights_are_not_finite_names_them(files, capsys):
    model = seeded(Small)
    with torch.no_grad():
        model.head.weight[0, 0] = float("nan")
    save_checkpoint(files / "net.safetensors", model, SMALL)
    code, _, err = run(capsys, *SIMULATE, "--out", "run")
    assert code == 1
    assert "head.weight" in err
    assert not (files / "run").exists()


def test_simulate_when_checkpoint_is_code_refuses_without_running_it(files, capsys):
    class Bomb:
        def __reduce__(self):
            return (open, (str(files / "exploded"), "w"))

    torch.save({"state_dict": Bomb()}, files / "bomb.pt")
    code, _, err = run(capsys, *SIMULATE, "--checkpoint", "bomb.pt", "--out", "run")
    assert code == 1
    assert "refused" in err
    assert not (files / "exploded").exists()


def test_simulate_when_folder_holds_another_run_is_refused(files, capsys):
    run(capsys, *SIMULATE, "--times", "1s", "--sigmas", "none", "--out", "run")
    code, _, err = run(capsys, *SIMULATE, "--times", "1s", "--sigmas", "none", "--seed", "5", "--out", "run")
    assert code == 1
    assert "seed" in err


def test_simulate_when_the_compiled_tile_fails_names_the_remedy_for_engine_aihwkit_alone(files, capsys, monkeypatch):
    def refuse(*_):
        raise RuntimeError("weights must be a CPU tensor")

    monkeypatch.setattr("analog_samson.chip.engine_check._one_product", refuse)
    short = [*SIMULATE, "--times", "1s", "--sigmas", "none", "--no-html"]
    code, _, err = run(capsys, *short, "--engine", "aihwkit", "--out", "run")
    assert code == 1
    assert working_set() in err
    assert not (files / "run").exists()
    assert run(capsys, *short, "--out", "run")[0] == 0


def test_simulate_when_interrupted_says_how_to_go_on(files, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("analog_samson.simulation.device.weight_error", interrupted)
    code, _, err = run(capsys, *SIMULATE, "--times", "1s", "--sigmas", "none", "--out", "run")
    assert code == 130
    assert err.endswith("\ninterrupted: what was finished is kept; the same command continues\n")
    assert "Traceback" not in err


def test_command_that_keeps_nothing_promises_nothing_when_interrupted(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("analog_samson.cli.convert.describe_conversion", interrupted)
    code, out, err = run(capsys, "convert", "--model", "resnet20", "--input-shape", "3,32,32")
    assert (code, out, err) == (130, "", "\ninterrupted\n")


@pytest.fixture
def interrupts():
    """Python's own handler of Ctrl-C, which the workers of pytest-xdist do without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def swallowed(*_, **__):
    """As an extension does that meets Ctrl-C while numpy is half imported."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    raise RecursionError


@pytest.mark.usefixtures("interrupts")
@pytest.mark.parametrize(
    ("arguments", "inside"),
    [
        (("convert", "--model", "resnet20"), "analog_samson.cli.convert.describe_conversion"),
        (("presets", "show", "ideal"), "analog_samson.presets.search.load_preset"),
        (("zoo", "list"), "analog_samson.models.zoo.search.list_cards"),
    ],
    ids=str,
)
def test_command_that_fails_after_a_swallowed_interrupt_was_interrupted(capsys, monkeypatch, arguments, inside):
    monkeypatch.setattr(inside, swallowed)
    assert run(capsys, *arguments) == (130, "", "\ninterrupted\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interrupts")
def test_command_that_tells_of_its_interruption_by_itself_has_the_last_word(capsys):
    def command():
        with suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise typer.Exit(7)

    with pytest.raises(typer.Exit) as stopped:
        told_when_interrupted(command, continues=True)()
    assert (stopped.value.exit_code, capsys.readouterr().err) == (7, "")


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None], ids=["ignored", "of others"])
def test_handler_of_interrupts_that_is_not_pythons_own_stays(handler):
    seen = []
    before = signal.signal(signal.SIGINT, handler)
    try:
        told_when_interrupted(lambda: seen.append(signal.getsignal(signal.SIGINT)), continues=False)()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [handler]


def test_command_runs_outside_the_main_thread_too():
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(told_when_interrupted(lambda: 5, continues=False)).result() == 5


def test_convert_when_run_prints_plan_and_hardware(capsys, tmp_path):
    arguments = ("--model", "resnet20", "--preset", "pcm_rasch_2023", "--input-shape", "3,32,32")
    code, out, _ = run(capsys, "convert", *arguments, "--out", str(tmp_path / "plan.json"))
    assert code == 0
    assert "40,551,040 a sample, 100.0 % on analog tiles" in out
    assert (tmp_path / "plan.json").read_text().startswith('{\n "preset": "pcm_rasch_2023"')


@pytest.mark.parametrize("name", ["net.safetensors", "plan", "."])
def test_convert_when_out_is_not_json_leaves_it_alone(files, capsys, name):
    before = (files / "net.safetensors").read_bytes()
    code, out, err = run(capsys, "convert", "--model", "resnet20", "--out", name)
    assert (code, out, err) == (
        1,
        "",
        f"error: convert: 1 problem\n  --out {name}: expected a file name that ends in .json\n",
    )
    assert (files / "net.safetensors").read_bytes() == before


def test_convert_when_shape_is_wrong_says_so(capsys):
    code, _, err = run(capsys, "convert", "--model", "resnet20", "--input-shape", "3,x")
    assert (code, err) == (
        1,
        "error: convert: 1 problem\n  --input-shape: expected whole numbers above 0 such as 3,32,32, got '3,x'\n",
    )


def test_bug_when_it_happens_exits_with_3(capsys, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("analog_samson.cli.convert.describe_conversion", broken)
    code, _, err = run(capsys, "convert", "--model", "resnet20")
    assert code == 3
    assert "please report" in err


@pytest.mark.parametrize("arguments", [[], ["presets"], ["zoo"]])
def test_command_without_a_command_prints_its_help_and_no_error(arguments, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert "Usage: " in shown.out + shown.err
    assert "error:" not in shown.out + shown.err


def test_second_preset_of_a_command_for_one_is_refused(capsys):
    assert main(["simulate", "--preset", "ideal", "--preset", "pcm_rasch_2023"]) == 2
    error = capsys.readouterr().err
    assert "--preset: given 2 times, this command takes one; compare and sweep take several" in error


def test_usage_error_exits_with_2(capsys):
    code, _, err = run(capsys, "simulate", "--no-such-option")
    assert code == 2
    assert "--no-such-option" in err


@pytest.mark.parametrize(
    "command", [*COMMANDS, *(f"presets {name}" for name in ("list", "show", "check", "fit")), "zoo list", "zoo show"]
)
def test_help_shows_an_example(command, capsys):
    code, out, _ = run(capsys, *command.split(), "--help")
    assert code == 0
    assert f"analog-samson {command}" in out


def test_help_loads_no_heavy_library():
    """torch, pandas and matplotlib cost seconds; `--help` needs none of them."""
    code = (
        "import sys; from analog_samson.cli.main import main; main(['--help']); "
        "print(sorted({'torch', 'pandas', 'matplotlib', 'scipy', 'aihwkit'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stderr.strip() == "[]"


def test_version_is_printed(capsys):
    assert run(capsys, "--version")[1].startswith("analog-samson 0.")
