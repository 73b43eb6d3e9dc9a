"""What hurts, where, what helps: presets with one thing changed, and a small network from end to end."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from networks import Tied, seeded
from small import Small, small_options
from torch import Tensor, nn

from analog_samson import rng
from analog_samson.analysis.error_budget import AS_IS, ErrorBudget, read_error_budget
from analog_samson.analysis.runs import read_runs
from analog_samson.chip.convert import convert
from analog_samson.chip.input_ranges import needs_calibration
from analog_samson.crossbar.plan import plan_conversion
from analog_samson.errors import OptionError, RunError
from analog_samson.models.checkpoint import save_checkpoint
from analog_samson.presets.ablation import CLIPPING, STRENGTHS, clips, effects, only, without
from analog_samson.presets.schema import Preset, parse_preset
from analog_samson.presets.search import list_presets, load_preset
from analog_samson.presets.validity import UNKNOWN
from analog_samson.report.command import make_report
from analog_samson.results.condition import Condition
from analog_samson.results.metric import Metric
from analog_samson.results.records import Record
from analog_samson.results.runfile import BUDGET_FOLDER
from analog_samson.results.store import RunFolder, open_run
from analog_samson.results.variant_store import Shelf
from analog_samson.simulation.decisions import DecisionRecorder, bin_edges, summarize_decisions
from analog_samson.simulation.error_budget import open_error_budget
from analog_samson.simulation.options import ErrorBudgetOptions, SimulateOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.simulation.variants import (
    analog_layers,
    digital_variants,
    effect_variants,
    layer_variants,
    remedy_variants,
    with_compensation,
    with_pairs,
    with_scaled_columns,
)
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.scoring import score
from analog_samson.tasks.task import Task

PRESETS = {preset.name: preset for preset in list_presets()}
DAY = 86400.0


# Presets with one thing changed


def logits(preset: Preset, model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The outputs of chip 0 after a day; the input range lets everything through."""
    analog = convert(model, preset)
    for tile in analog.analog_tiles() if needs_calibration(preset) else ():
        tile.set_input_range(4.0)
    with rng.stream(0, "chip"), torch.no_grad():
        analog.program_analog_weights()
        analog.drift_analog_weights(DAY)
        return analog(x)


@pytest.fixture(scope="module")
def probe() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval(), torch.rand(5, 6)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_without_any_effect_computes_what_the_digital_network_does(
    name: str, probe: tuple[nn.Module, torch.Tensor]
) -> None:
    """Compensation none, so that nothing is measured; what is left of a single device per weight is its offset."""
    model, x = probe
    silent = with_compensation(PRESETS[name], "none")
    for effect in effects(PRESETS[name]):
        silent = without(silent, effect)
    assert effects(silent).keys() <= {"programming noise", "drift", "read noise"}, "only strengths of 0 are left"
    assert torch.allclose(logits(silent, model, x), model(x), atol=2e-3), name


@pytest.mark.parametrize("name", PRESETS)
def test_every_effect_of_a_preset_alone_changes_something(name: str, probe: tuple[nn.Module, torch.Tensor]) -> None:
    model, x = probe
    plain = with_compensation(PRESETS[name], "none")
    silent = plain
    for effect in effects(plain):
        silent = without(silent, effect)
    for effect in effects(plain):
        assert not torch.equal(logits(only(plain, effect), model, x), logits(silent, model, x)), effect


def test_effects_of_the_converter_preset_are_all_that_it_has() -> None:
    assert list(effects(PRESETS["pcm_rasch_2023"])) == [
        "programming noise", "drift", "read noise", "DAC", "IR drop", "weight read noise (periphery)", "output noise",
        "ADC",
    ]  # fmt: skip
    assert effects(PRESETS["ideal"]) == {}


def test_adc_that_only_cuts_is_an_effect() -> None:
    """Otherwise its cut would be told as clipping of the input."""
    preset = PRESETS["pcm_rasch_2023"]
    exact = preset.model_copy(update={"periphery": preset.periphery.model_copy(update={"adc_bits": 0})})
    assert "ADC" in effects(exact)
    assert "ADC" not in effects(without(exact, "ADC"))


@pytest.mark.parametrize("multiple", [3.0, 100.0])
def test_clipping_is_what_is_left_when_every_effect_is_muted(
    multiple: float, probe: tuple[nn.Module, torch.Tensor]
) -> None:
    """Outputs are those of the digital network with clamped inputs; a range that all inputs are in changes nothing."""
    model, x = probe
    muted = only(with_compensation(PRESETS["pcm_rasch_2023"], "none"), CLIPPING)
    assert effects(muted).keys() <= {"programming noise", "drift", "read noise"}
    analog = convert(model, muted)
    reach = 0.1 * multiple
    for tile in analog.analog_tiles():
        tile.set_input_range(reach)
    with rng.stream(0, "chip"), torch.no_grad():
        analog.program_analog_weights()
        analog.drift_analog_weights(DAY)
        hidden = model[0](x.clamp(-reach, reach)).relu()
        assert torch.allclose(analog(x), model[2](hidden.clamp(-reach, reach)), atol=2e-3)
        assert torch.allclose(analog(x), model(x), atol=2e-3) == (multiple == 100.0)


def test_clipping_has_a_variant_and_all_effects_alone_are_measured_from_it() -> None:
    found = effect_variants(PRESETS["pcm_rasch_2023"], ())
    assert [v.label for v in found if v.subject == CLIPPING] == ["only input clipping"]
    alone = [v for v in found if v.kind == "only" and v.subject != CLIPPING]
    assert len(alone) == 8
    assert {v.row().get("against") for v in alone} == {CLIPPING}
    assert all("against" not in v.row() for v in found if v not in alone)
    perfect = effect_variants(PRESETS["pcm_nandakumar_2019"], ())
    assert not clips(PRESETS["pcm_nandakumar_2019"])
    assert not any("against" in v.row() or v.subject == CLIPPING for v in perfect)


def test_muted_noise_still_draws_so_that_other_noise_stays_what_it_was(probe: tuple[nn.Module, torch.Tensor]) -> None:
    """Without programming noise the drift exponents of a chip are bit for bit those with it."""
    model, _ = probe
    preset = PRESETS["pcm_nandakumar_2019"]
    exponents = []
    for one in (preset, without(preset, "programming noise"), without(preset, "read noise")):
        analog = convert(model, one)
        with rng.stream(0, "chip"):
            analog.program_analog_weights()
        exponents.append([p for tile in analog.analog_tiles() for p in tile.drift_noise_parameters])
    for other in exponents[1:]:
        assert all(torch.equal(a, b) for a, b in zip(exponents[0], other, strict=True))


@pytest.mark.parametrize(("section", "model"), [(s, m) for s, models in STRENGTHS.items() for m in models])
def test_strengths_are_fields_of_their_model(section: str, model: str) -> None:
    """A model that is renamed or loses a field is found here, not in somebody's budget."""
    kinds = {kind.model_fields["model"].annotation: kind for kind in _kinds(section)}
    found = next(kind for literal, kind in kinds.items() if model in literal.__args__)  # type: ignore[union-attr]
    assert set(STRENGTHS[section][model]) <= set(found.model_fields)


def _kinds(section: str) -> tuple[Any, ...]:
    annotation: Any = Preset.model_fields[section].annotation
    return annotation.__args__


def test_other_number_of_pairs_is_a_valid_preset() -> None:
    changed = with_pairs(PRESETS["pcm_nandakumar_2019"], 2)
    assert parse_preset(changed.model_dump(mode="json"), "here").device.pairs == 2


def test_other_compensation_is_a_valid_preset() -> None:
    for name in ("pcm_nandakumar_2019", "pcm_nandakumar_2019_uncompensated", "pcm_rasch_2023_averaged_readout"):
        for kind in ("none", "global", "per_column"):
            changed = with_compensation(PRESETS[name], kind)
            assert parse_preset(changed.model_dump(mode="json"), "here").compensation.kind == kind
    averaged = with_compensation(PRESETS["pcm_rasch_2023_averaged_readout"], "per_column").compensation
    assert averaged.reads == PRESETS["pcm_rasch_2023_averaged_readout"].compensation.reads


# Variants


def test_layer_variants_leave_one_layer_on_the_device_also_where_weights_are_tied() -> None:
    model, preset = seeded(Tied), PRESETS["pcm_nandakumar_2019"]
    plan = plan_conversion(model, preset, input_shape=(6,))
    variants = layer_variants(preset, plan, ())
    assert [variant.subject for variant in variants] == ["first", "head"]
    for variant in variants:
        own = plan_conversion(model, preset, keep_digital=variant.keep_digital)
        assert [row.path for row in analog_layers(own)] == [variant.subject]
    shares = [variant.facts["macs_percent"] for variant in variants]
    assert shares == [pytest.approx(100 * 72 / 90), pytest.approx(100 * 18 / 90)]


def test_digital_variants_keep_the_most_sensitive_layers_and_count_their_work() -> None:
    model, preset = seeded(Tied), PRESETS["pcm_nandakumar_2019"]
    plan = plan_conversion(model, preset, input_shape=(6,))
    (one,) = digital_variants(preset, plan, (), ["first", "head"])
    assert set(one.keep_digital) == {"first", "again"}
    assert one.facts == {"digital_macs_percent": pytest.approx(80.0), "layers": ["first"]}


def test_remedies_hold_the_run_itself_once_and_each_calibration_that_can_be() -> None:
    model, preset = seeded(Small), PRESETS["pcm_nandakumar_2019"]
    plan = plan_conversion(model, preset, input_shape=(1, 4, 4))
    variants = remedy_variants(preset, plan, (), ["adabs"])
    assert {(v.label, v.calibration): v.preset.compensation.kind for v in variants} == {
        ("compensation none", "none"): "none",
        (AS_IS, "none"): "global",
        ("compensation per_column", "none"): "per_column",
        ("scaled columns", "none"): "global",
        ("two pairs", "none"): "global",
        (AS_IS, "adabs"): "global",
    }


def test_scaled_columns_are_a_remedy_where_columns_share_a_scale() -> None:
    scaled, shipped = with_scaled_columns(PRESETS["pcm_nandakumar_2019"]), PRESETS["pcm_nandakumar_2019_column_scaling"]
    named = {"name", "title", "summary", "source"}
    assert scaled.model_dump(exclude=named) == shipped.model_dump(exclude=named)
    plan = plan_conversion(seeded(Small), shipped, input_shape=(1, 4, 4))
    assert "scaled columns" not in {v.label for v in remedy_variants(shipped, plan, (), ())}


# Decisions


def test_decisions_agree_with_sorting_and_counting() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(60, 4), torch.randint(0, 4, (60,))
    recorder = DecisionRecorder(Classification())
    scores = score(nn.Identity(), [(x[:25], y[:25]), (x[25:], y[25:])], Classification(), watch=recorder)
    found = recorder.decisions()
    assert found is not None
    ordered = x.sort(dim=1).values
    assert torch.equal(found.margins, ordered[:, -1] - ordered[:, -2])
    assert torch.equal(found.predicted, x.argmax(1))
    assert scores.outcomes is not None
    assert torch.equal(scores.outcomes, x.argmax(1) == y)
    edges = bin_edges(found.margins)
    summary = summarize_decisions(found, edges, found)
    counts, _ = np.histogram(found.margins.numpy(), bins=[*np.array(edges, dtype=np.float32), np.inf])
    assert summary["margins"] == counts.tolist()
    assert summary["changed"] == 0
    for true, predicted, count in summary["confusion"]:
        assert count == int(((y == true) & (x.argmax(1) == predicted)).sum())
    assert sum(count for *_, count in summary["confusion"]) == 60


def test_shelf_keeps_variants_apart_and_knows_what_it_has(tmp_path: Any) -> None:
    record = Record(
        checkpoint="net", preset="pcm", stage="drift", calibration="none", instance=0, time_seconds=1.0, sigma_c=None,
        metric="accuracy_percent", value=90.0,
    )  # fmt: skip
    aged = record.condition
    with RunFolder.create(tmp_path / "run", {}) as run:
        first, second = Shelf(run, "without drift"), Shelf(run, "only drift")
        first.commit([record])
        assert first.has(0, aged)
        assert not second.has(0, aged)
        assert not first.has(0, replace(aged, calibration="adabs"))
        assert second.has(0, Condition(stage="digital"))
        assert [r.preset for r in first.records()] == ["without drift"]
        assert Shelf(run, "without drift").has(0, aged), "as it is after a restart"


# Whole budgets


@pytest.fixture
def options(tmp_path: Any) -> SimulateOptions:
    return small_options(tmp_path, images=140, tested=100, instances=3)


def on(**settings: Any) -> ErrorBudgetOptions:
    """What an error budget is evaluated on: time, instances, limit."""
    return ErrorBudgetOptions(**{f"error_budget_{name}": value for name, value in settings.items()})


def error_budget_of(
    options: SimulateOptions, out: Any, *, stop: int | None = None, **settings: Any
) -> ErrorBudget | None:
    """Run and evaluate the error budget; `stop` interrupts after so many evaluations."""
    run_simulation(options, out).close()
    left = iter(range(stop if stop is not None else 10**6))

    def progress(text: str) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    with open_error_budget(options, out, on(**settings)) as budget:
        budget.finish(progress)
        assert budget.missing == 0
    with open_run(out) as run:
        return read_runs([run])[0].error_budget


def records_of(out: Any) -> list[Record]:
    with open_run(out / BUDGET_FOLDER) as run:
        return run.records()


def test_error_budget_as_it_is_meets_the_very_chips_of_the_run(options: SimulateOptions, tmp_path: Any) -> None:
    found = error_budget_of(options, tmp_path / "run")
    with open_run(tmp_path / "run") as run:
        last = [r for r in run.records() if r.time_seconds == 31536000.0 and r.metric != "weight_error"]
    own = [
        r
        for r in records_of(tmp_path / "run")
        if r.preset == AS_IS and r.calibration == "none" and r.metric != "weight_error"
    ]
    assert [(r.instance, r.metric, r.value) for r in own] == [
        (r.instance, r.metric, pytest.approx(r.value, rel=1e-6)) for r in last
    ]
    assert found is not None
    assert found.digital == 100.0
    assert found.unfinished == 0
    assert {effect.name for effect in found.effects} == {"programming noise", "drift", "read noise"}
    assert {layer.path for layer in found.layers} == {"body.0", "head"}
    assert sum(layer.devices_percent or 0 for layer in found.layers) == pytest.approx(100)
    names = [remedy.name for remedy in found.remedies]
    assert names == [
        "compensation none", "compensation global (as it is)", "compensation per column",
        "every column scaled to g_max", "two device pairs a weight", "AdaBS", "affine correction",
        "most sensitive layer digital",
    ]  # fmt: skip
    kept = found.remedies[-1]
    assert kept.layers == (found.layers[0].path,)
    assert kept.digital_macs_percent == pytest.approx(found.layers[0].macs_percent)
    assert found.outcomes is not None
    assert (found.outcomes.chips, found.outcomes.samples, found.outcomes.classes) == (3, 100, 3)


class Distance(Task):
    """How far the logits are from one-hot labels: worse is upward, and no sample is right or wrong."""

    name = "distance"
    metrics = (Metric(name="distance", title="distance", unit="V", lower=0.0, higher_is_better=False),)

    def check(self, output: Any, batch: Any) -> None:
        pass

    def loss(self, output: Any, batch: Any) -> Tensor:
        return (output - nn.functional.one_hot(batch[1], output.shape[1])).abs().mean()

    def start(self, device: torch.device) -> list[Tensor]:
        return []

    def update(self, state: list[Tensor], output: Any, batch: Any) -> list[Tensor]:
        return [*state, (output - nn.functional.one_hot(batch[1], output.shape[1])).abs().mean(1)]

    def compute(self, state: list[Tensor]) -> dict[str, float]:
        return {"distance": float(torch.cat(state).mean())}


def test_error_budget_of_another_task_is_in_its_metric_without_decisions(
    options: SimulateOptions, tmp_path: Any
) -> None:
    options = options.replace(task="test_error_budget:Distance")
    run_simulation(options, tmp_path / "run").close()
    with open_error_budget(options, tmp_path / "run", on(instances=2, limit=60)) as budget:
        budget.finish()
        assert budget.missing == 0
        assert budget.run.meta("outcomes/digital") is None
        assert budget.run.outcomes(0, Condition(stage="digital")) is None
    with open_run(tmp_path / "run" / BUDGET_FOLDER) as run:
        found = read_error_budget(run, UNKNOWN)
    assert found is not None
    assert found.metric == Distance.metrics[0]
    assert found.outcomes is None
    assert found.unfinished == 0
    lost = [layer.lost.mean for layer in found.layers]
    assert lost == sorted(lost, reverse=True)
    for layer in found.layers:
        values = [
            r.value
            for r in records_of(tmp_path / "run")
            if (r.preset, r.metric) == (f"only layer {layer.path}", "distance")
        ]
        assert layer.lost.mean == pytest.approx(np.mean(values) - found.digital), "worse is upward"
    assert found.remedies[-1].layers == (found.layers[0].path,)


def test_error_budget_when_interrupted_anywhere_continues_to_the_same_records(
    options: SimulateOptions, tmp_path: Any
) -> None:
    options = options.replace(instances=2)
    whole = error_budget_of(options, tmp_path / "whole")
    for stop in (0, 1, 2, 3, 9, 20):
        with pytest.raises(KeyboardInterrupt):
            error_budget_of(options, tmp_path / f"stop{stop}", stop=stop)
        assert error_budget_of(options, tmp_path / f"stop{stop}") == whole
        assert records_of(tmp_path / f"stop{stop}") == records_of(tmp_path / "whole")


def test_cost_is_told_before_and_what_is_stored_is_not_paid_again(options: SimulateOptions, tmp_path: Any) -> None:
    run_simulation(options, tmp_path / "run").close()
    steps: list[str] = []
    with open_error_budget(options, tmp_path / "run", on(instances=2, limit=60)) as budget:
        said = budget.cost()
        total = budget.evaluations
        told = rf"error budget: {total} evaluations of 60 images \(2 chips at 1y\); about \d+ s; fewer than 5 chips.*"
        assert re.fullmatch(told, said)
        budget.finish(steps.append)
        assert len(steps) == total
    with open_error_budget(options, tmp_path / "run", on(instances=2, limit=60)) as budget:
        assert budget.cost().endswith(f"{total} of them stored already")
        budget.finish(lambda text: pytest.fail(f"{text} was evaluated again"))


def test_error_budget_of_another_kind_in_the_same_run_is_refused(options: SimulateOptions, tmp_path: Any) -> None:
    error_budget_of(options, tmp_path / "run", limit=50)
    with pytest.raises(RunError, match="error_budget_limit: the run there has 50, this one 70"):
        error_budget_of(options, tmp_path / "run", limit=70)


def test_error_budget_says_what_it_leaves_out_and_why(options: SimulateOptions, tmp_path: Any) -> None:
    """No calibration images: no AdaBS. One layer alone: nothing to rank."""
    alone = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    save_checkpoint(tmp_path / "alone.safetensors", alone, {"model": "test_error_budget:alone"})
    found = error_budget_of(options.replace(calibration_data="npz:nowhere.npz"), tmp_path / "run")
    assert found is not None
    assert re.match(r"AdaBS, affine correction: no calibration images \(.*nowhere", found.skipped[0])
    options = options.replace(
        checkpoint=str(tmp_path / "alone.safetensors"), model="test_error_budget:alone", preset="ideal"
    )
    found = error_budget_of(options, tmp_path / "alone")
    assert found is not None
    adabs, where = found.skipped
    assert re.match("AdaBS: .* no batch-norm layer", adabs)
    assert where == "where: one layer alone is on the device"
    assert found.effects == found.layers == ()
    text = make_report([tmp_path / "alone"], "text", out=None, html=False, say=print)
    assert "No effect was removed from this device." in text
    assert "Left out: where: one layer alone is on the device." in text


def alone(num_classes: int = 3, in_channels: int = 1) -> nn.Module:
    """A network of one layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16 * in_channels, num_classes))


def test_error_budget_at_another_time_with_converters(options: SimulateOptions, tmp_path: Any) -> None:
    options = options.replace(preset="pcm_rasch_2023", times=(1.0,), instances=1)
    found = error_budget_of(options, tmp_path / "run", time=3600.0)
    assert found is not None
    assert (found.label, found.instances, found.coverage) == ("1h", 1, "")
    effects = {effect.name: effect for effect in found.effects}
    assert len(effects) == 11
    assert {"input range", "first layer (body.0)"} <= set(effects)
    inputs, first = effects.pop("input range"), effects.pop("first layer (body.0)")
    assert inputs.against == first.against == ""
    (rescaled,) = [remedy for remedy in found.remedies if remedy.name == "inputs rescaled digitally (smooth:0.5)"]
    assert rescaled.digital_macs_percent == found.remedies[0].digital_macs_percent
    clipping = effects.pop(CLIPPING)
    assert (clipping.gain_without, clipping.against) == (None, "")
    own = [r for r in records_of(tmp_path / "run") if r.calibration == "none"]
    accuracy = {r.preset: r.value for r in own if r.metric == "accuracy_percent"}
    assert clipping.loss_alone is not None
    assert clipping.loss_alone.mean == pytest.approx(100 - accuracy["only input clipping"])
    assert inputs.loss_alone is not None
    assert inputs.loss_alone.mean == pytest.approx(100 - accuracy["only DAC"])
    assert inputs.gain_without is not None
    assert inputs.gain_without.mean == pytest.approx(accuracy["without input range"] - accuracy[AS_IS])
    assert first.loss_alone is not None
    assert first.loss_alone.mean == pytest.approx(100 - accuracy["only layer body.0"])
    for name, effect in effects.items():
        assert effect.gain_without is not None
        assert effect.gain_without.significant is None
        assert effect.loss_alone is not None
        assert effect.loss_alone.mean == pytest.approx(accuracy["only input clipping"] - accuracy[f"only {name}"])
    with open_error_budget(options, tmp_path / "run", on(time=3600.0)) as budget:
        assert "(1 chip at 1h)" in budget.cost()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"instances": 0}, "instances: expected a whole number of 1 or more, got 0"),
        ({"limit": 0}, "limit: expected a whole number of 1 or more, got 0"),
        ({"time": float("nan")}, "time: expected a finite number"),
    ],
)
def test_error_budget_options_when_wrong_say_so(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        on(**settings)


def test_load_preset_is_not_changed_by_muting() -> None:
    before = load_preset("pcm_rasch_2023").fingerprint
    preset = load_preset("pcm_rasch_2023")
    for effect in effects(preset):
        assert without(preset, effect).fingerprint != before
    assert preset.fingerprint == before
