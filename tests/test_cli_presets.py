"""`presets list | show | check` on an app of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analog_samson.cli.presets import app
from analog_samson.errors import PresetError
from analog_samson.presets import list_presets, load_preset

HW_PRESETS = Path(__file__).parents[1] / "hw_presets"
NAMES = [preset.name for preset in list_presets()]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def write_preset(folder, name, **replaced):
    text = (HW_PRESETS / "ideal.toml").read_text().replace('name = "ideal"', f'name = "{name}"')
    for old, new in replaced.items():
        text = text.replace(old, new)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def test_list_when_called_prints_one_aligned_plain_line_per_preset():
    result = run("list")
    lines = result.output.splitlines()
    assert result.exit_code == 0
    assert [line.split()[0] for line in lines] == ["NAME", *NAMES]
    column = lines[0].index("YEAR")
    assert [line[column : column + 4] for line in lines[1:]] == [str(load_preset(name).source.year) for name in NAMES]
    assert all(load_preset(name).summary in line for name, line in zip(NAMES, lines[1:], strict=True))
    assert result.output.isascii()


def test_list_when_given_a_folder_shows_its_presets_too(tmp_path):
    write_preset(tmp_path, "mine")
    assert "\nmine " in run("list", "--preset-dir", tmp_path).output


def test_list_when_the_folder_is_missing_fails(tmp_path):
    result = run("list", "--preset-dir", tmp_path / "nowhere")
    assert isinstance(result.exception, PresetError)
    assert result.exit_code == 1


def test_list_when_run_loads_no_torch():
    code = (
        "import sys; from typer.testing import CliRunner; from analog_samson.cli.presets import app;"
        "assert CliRunner().invoke(app, ['list']).exit_code == 0; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", NAMES)
def test_show_when_given_a_name_prints_source_fingerprint_and_every_value(name):
    preset = load_preset(name)
    output = run("show", name).output
    assert preset.fingerprint in output
    assert f"doi: {preset.source.doi}\n" in output
    assert f"citation: {preset.source.citation}\n" in output
    for section, values in preset.model_dump(mode="json").items():
        if isinstance(values, dict) and section not in ("source", "cost"):
            assert all(f"\n{section}.{key} " in output for key in values)


def test_show_when_the_preset_has_a_cost_prints_its_source_and_every_mode():
    output = run("show", "pcm_hermes_2023_two_devices").output
    assert "\ncost.doi: 10.1038/s41928-023-01010-1\n" in output
    lines = {line.split()[0]: line.split()[1:3] for line in output.splitlines() if line.startswith("cost.")}
    assert lines["cost.arrays"][0] == "64"
    assert lines["cost.modes[0].peak_tops_per_mm2"] == ["0.4", "TOPS/mm2"]
    assert lines["cost.modes[1].peak_tops_per_watt"] == ["9.76", "TOPS/W"]
    assert lines["cost.modes[1].peak_tops_per_mm2"] == ["not", "given"]


def test_show_when_values_have_units_prints_them():
    lines = {line.split()[0]: line.split()[1:3] for line in run("show", "pcm_rasch_2023").output.splitlines() if line}
    assert lines["drift.t0_seconds"] == ["20", "s"]
    assert lines["device.g_max_microsiemens"] == ["25", "uS"]
    assert lines["validity.max_seconds"] == ["86400", "s"]


def test_show_when_given_a_file_or_folder_reads_it(tmp_path):
    path = write_preset(tmp_path, "mine")
    assert run("show", path).output == run("show", "mine", "--preset-dir", tmp_path).output
    assert run("show", path).output.startswith("mine: ")


def test_show_when_the_name_is_unknown_fails():
    result = run("show", "pcm")
    assert result.exit_code == 1
    assert "no such preset" in str(result.exception)


def test_check_when_all_files_are_right_prints_ok_for_each():
    paths = sorted(HW_PRESETS.glob("*.toml"))
    result = run("check", *paths)
    assert result.exit_code == 0
    assert [line.split(": ok (")[0] for line in result.output.splitlines()] == [str(path) for path in paths]


def test_check_when_files_are_faulty_reports_all_faults_of_all_files(tmp_path):
    good = write_preset(tmp_path, "good")
    bad = write_preset(tmp_path, "bad", **{"max_rows = 0": "max_rows = true", 'kind = "none"': 'kind = "nome"'})
    broken = tmp_path / "broken.toml"
    broken.write_text("[")
    result = run("check", bad, good, broken, tmp_path / "missing.toml")
    assert result.exit_code == 1
    assert result.output.startswith(f"{good}: ok (good, fingerprint ")
    assert isinstance(result.exception, PresetError)
    message = str(result.exception)
    assert message.startswith(f"{bad}: 2 problems\n  tile.max_rows: expected a whole number")
    assert "compensation.kind: expected one of 'none', 'global', 'per_column', got 'nome'; did you mean" in message
    assert f"{broken}: not valid TOML" in message
    assert "missing.toml: no such file" in message


def test_check_when_given_no_file_is_a_usage_error():
    result = run("check")
    assert (result.exit_code, str(result.exception).splitlines()[1]) == (1, "  FILE: missing (Preset files (.toml).)")


@pytest.mark.parametrize("command", ["list", "show", "check"])
def test_help_when_asked_gives_an_example(command):
    assert f"analog-samson presets {command}" in run(command, "--help").output
