"""Presets of single layers in a run: what it stores, how it resumes, what the report and the error budget say."""

from pathlib import Path

import pytest
from small import SMALL, small_options

from analog_samson.analysis.runs import read_runs
from analog_samson.analysis.unequal_options import unequal_options
from analog_samson.errors import PlanError, PresetError, RunError
from analog_samson.presets.ablation import without
from analog_samson.presets.search import load_preset
from analog_samson.report.command import make_report
from analog_samson.results.store import open_run
from analog_samson.simulation.error_budget import open_error_budget
from analog_samson.simulation.jobs import plan_jobs
from analog_samson.simulation.many_options import SweepOptions
from analog_samson.simulation.options import ErrorBudgetOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.simulation.stored_options import read_config
from analog_samson.simulation.variants import effect_variants


@pytest.fixture
def options(tmp_path):
    (tmp_path / "layers.toml").write_text('head = "pcm_hermes_2023_two_devices"\n')
    layers = {"layer_presets": str(tmp_path / "layers.toml")}
    return small_options(tmp_path, images=240, tested=150, sigmas=(), instances=2, **layers)


def values(folder: Path) -> list[float]:
    with open_run(folder) as run:
        return [record.value for record in run.records() if record.stage == "drift"]


def test_run_with_layer_presets_puts_layers_on_their_own_hardware_and_repeats(options, tmp_path):
    run_simulation(options, tmp_path / "own").close()
    run_simulation(options.replace(layer_presets=None), tmp_path / "one").close()
    with open_run(tmp_path / "own") as run:
        assert [row["preset"] for row in run.meta("plan")] == ["", "", "pcm_hermes_2023_two_devices"]
        stored = run.meta("layer_presets")["layers"]["head"]
        assert stored["preset_sha256"] == load_preset("pcm_hermes_2023_two_devices").fingerprint
    assert values(tmp_path / "own") != values(tmp_path / "one")
    run_simulation(read_config(tmp_path / "own", SMALL.values()), tmp_path / "again").close()
    assert values(tmp_path / "again") == values(tmp_path / "own")


def test_run_is_resumed_with_equal_layer_presets_only(options, tmp_path):
    run_simulation(options, tmp_path / "run").close()
    run_simulation(options, tmp_path / "run").close()
    with pytest.raises(RunError, match=r"layer_presets: the run there has .*layers.toml', this one none"):
        run_simulation(options.replace(layer_presets=None), tmp_path / "run")
    (tmp_path / "layers.toml").write_text('head = "ideal"\n')
    with pytest.raises(RunError, match=r"other contents.*\n  layer_presets: the run there has \w{12}, this one \w{12}"):
        run_simulation(options, tmp_path / "run")


def test_report_shows_layer_presets_in_hardware_and_plan(options, tmp_path):
    run_simulation(options, tmp_path / "run").close()
    run_simulation(options.replace(layer_presets=None, label="plain"), tmp_path / "plain").close()
    make_report([tmp_path / "run"], "text", out=None, html=True, say=lambda text: None)
    (page,) = (tmp_path / "run").glob("*.html")
    html = page.read_text()
    assert "head: pcm_hermes_2023_two_devices" in html
    assert "preset of its own" in html
    with open_run(tmp_path / "run") as one, open_run(tmp_path / "plain") as other:
        notes = unequal_options(read_runs([one, other]))
    assert any(note.startswith("layer_presets differs: ") and "none (plain)" in note for note in notes)


def test_error_budget_changes_the_presets_of_layers_too(options, tmp_path):
    layer = load_preset("pcm_rasch_2023")
    named = {one.label: one for one in effect_variants(load_preset("pcm_nandakumar_2019"), (), [layer])}
    assert named["without DAC"].change(layer).periphery.dac_bits == 0
    assert named["without DAC"].change(load_preset("ideal")) == load_preset("ideal")
    run_simulation(options, tmp_path / "run").close()
    settings = ErrorBudgetOptions(error_budget_instances=1, error_budget_limit=50)
    with open_error_budget(options, tmp_path / "run", settings) as budget:
        plans = {variant.label: budget._plan_of(variant) for variant in budget.variants}
    hermes = load_preset("pcm_hermes_2023_two_devices")
    assert plans["without drift"].placements[-1].preset == without(hermes, "drift")
    assert plans["compensation none"].placements[-1].preset.compensation.kind == "none"
    assert plans["only layer body.0"].presets[-1].name == "pcm_nandakumar_2019"


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('heads = "ideal"\n', PlanError, r"'heads' fits no layer path.*did you mean 'head'"),
        ('head = "idael"\n', PresetError, r"did you mean 'ideal'"),
    ],
)
def test_layer_presets_that_do_not_fit_are_refused_before_there_is_a_folder(options, tmp_path, text, error, words):
    (tmp_path / "layers.toml").write_text(text)
    with pytest.raises(error, match=words):
        run_simulation(options, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_each_run_of_a_sweep_gets_the_layer_presets_by_an_absolute_path(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"data": options.data, "checkpoint": (options.checkpoint,), "layer_presets": "layers.toml"}
    (job,) = plan_jobs(SweepOptions(**given), tmp_path / "sweep")
    assert job.options.layer_presets == str(tmp_path / "layers.toml")
