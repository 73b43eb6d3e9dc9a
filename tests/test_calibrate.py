"""Input ranges from data: the smallest output error or a multiple of the deviation, layers without inputs, draws."""

import importlib
import runpy
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import Block, Tied, seeded
from small import small_options
from torch import Tensor, nn
from torch.nn import functional

from analog_samson import rng, simulate_drift
from analog_samson.chip.convert import convert
from analog_samson.chip.input_range import InputRange
from analog_samson.chip.input_ranges import choose_input_ranges, set_input_ranges
from analog_samson.chip.input_sample import InputSample, watch_inputs
from analog_samson.chip.matrix import matrices_of
from analog_samson.chip.range_search import QUANTILES
from analog_samson.crossbar.coverage import CoverageWarning
from analog_samson.crossbar.im2col import pick_windows, split_windows
from analog_samson.crossbar.plan import crossbar_placements
from analog_samson.errors import DataError, InputRangeWarning, OptionError, RunError
from analog_samson.presets.schema import Preset
from analog_samson.presets.search import load_preset
from analog_samson.report.command import make_report
from analog_samson.results.runfile import MARK
from analog_samson.simulation.run import run_simulation
from analog_samson.simulation.stored_options import read_config

RASCH = load_preset("pcm_rasch_2023")
MULTIPLE = RASCH.periphery.input_range_std_multiple
QUIET = {
    "periphery": {
        **{"output_noise": 0.0, "read_noise_kind": "none", "read_noise": 0.0, "ir_drop": 0.0, "adc_bits": 0},
        "adc_bound": 1e6,
    },
    "programming": load_preset("ideal").programming,
    "drift": load_preset("ideal").drift,
    "read": load_preset("ideal").read,
}


def changed(preset: Preset, **sections: Any) -> Preset:
    """The preset with some keys of sections, or whole sections, replaced."""
    new = {
        name: getattr(preset, name).model_copy(update=value) if isinstance(value, dict) else value
        for name, value in sections.items()
    }
    return preset.model_copy(update=new)


DAC_ONLY = changed(RASCH, **QUIET)


class Headed(nn.Module):
    """A second head that answers in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.extra = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.extra(x) if self.training else self.body(x)


class Shifted(nn.Module):
    """A layer whose inputs are relu(x + shift) of another's outputs."""

    def __init__(self, shift: float, slope: float = 1.0) -> None:
        super().__init__()
        self.first, self.second, self.shift, self.slope = nn.Linear(8, 4), nn.Linear(4, 3), shift, slope

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.slope * self.first(x) + self.shift))


def batches(scale: float = 1.0) -> list[tuple[Tensor, Tensor]]:
    draws = [torch.randn(50, 8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    return [(scale * x, torch.zeros(50)) for x in draws]


def chosen(
    model: nn.Module, method: str = "output_error", preset: Preset = RASCH, **more: Any
) -> dict[str, InputRange]:
    return choose_input_ranges(model, preset, batches(), method=method, **{"seed": 0} | more)


both = pytest.mark.parametrize("method", ["output_error", "max", "percentile", "std"])


@both
def test_layer_that_no_image_reaches_has_no_range(method):
    assert list(chosen(Headed(), method)) == ["body"]


@both
def test_layer_that_meets_zeros_only_keeps_its_range_and_gives_numbers(method):
    model = Shifted(-100.0)
    ranges = chosen(model, method)
    assert list(ranges) == ["first"]
    analog = convert(model, RASCH)
    set_input_ranges(analog, {path: one.value for path, one in ranges.items()})
    tiles = matrices_of(analog)["second"].tiles
    assert [tile.input_range.item() for tile in tiles] == [MULTIPLE]
    assert analog(torch.randn(3, 8)).isfinite().all()


def test_inputs_without_spread_count_with_their_size():
    assert chosen(Shifted(0.1, slope=0.0), "std")["second"].value == pytest.approx(0.1 * MULTIPLE)
    assert chosen(Shifted(0.1, slope=0.0))["second"].value == pytest.approx(0.1)


def test_std_is_the_multiple_of_the_standard_deviation_over_all_batches():
    inputs = torch.cat([x for x, _ in batches()])
    one = chosen(Shifted(0.0), "std")["first"]
    assert one.value == pytest.approx(MULTIPLE * inputs.std(correction=0).item(), rel=1e-6)
    assert one.quantile is None
    assert one.clipped == pytest.approx((inputs.abs() > one.value).float().mean().item(), abs=1e-6)


@both
def test_model_keeps_the_mode_of_each_of_its_modules(method):
    model = Shifted(0.0).train()
    model.second.eval()
    chosen(model, method)
    assert (model.training, model.first.training, model.second.training) == (True, True, False)


@both
def test_no_images_at_all_are_refused(method):
    with pytest.raises(DataError, match="no images reached the layers"):
        choose_input_ranges(Headed(), RASCH, [], method=method, seed=0)


def test_unknown_method_is_refused_with_the_known_ones():
    for call in (lambda: chosen(Headed(), "output_eror"), lambda: simulate(Headed(), input_range="output_eror")):
        with pytest.raises(OptionError, match="learned, got 'output_eror'; did you mean 'output_error'"):
            call()


# The smallest error


@pytest.mark.parametrize(("outlier", "value"), [(1.05, 1.0), (100.0, 100.0)])
def test_range_clips_an_outlier_only_where_that_costs_less_than_coarse_steps(outlier, value):
    """One weight of 1; 999 inputs on the steps of a 8-bit converter that ends at 1, and one outlier."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    x = torch.cat([torch.arange(999).remainder(127).add(1).div(127), torch.tensor([outlier])])[:, None]
    one = choose_input_ranges(model, DAC_ONLY, [(x, x)], seed=0)["(model)"]
    assert one.value == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize(("after", "clips"), [(nn.LayerNorm(8), True), (nn.Identity(), False)])
def test_range_serves_what_the_network_makes_of_the_outputs(after, clips):
    """A few huge tokens: a norm layer looks at each token by itself, so the range is that of the others."""
    x = torch.randn(64, 16, 8, generator=torch.Generator().manual_seed(3))
    x[:, 0] *= 1000
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 8), after))
    one = choose_input_ranges(model, DAC_ONLY, [(x, x)], seed=0)["0"]
    assert (one.value < 10) == clips
    assert one.criterion == ("of each vector" if clips else "of all vectors together")


@pytest.mark.parametrize("kind", ["one-sided", "negative", "heavy"])
def test_choice_is_that_of_trying_every_candidate_by_hand(kind):
    """On converters without noise the error of each candidate can be computed from its definition."""
    x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(3))
    x = {"one-sided": x.relu(), "negative": -x.abs() + 0.1, "heavy": x**5}[kind]
    model = seeded(lambda: nn.Linear(3, 2))
    ((_, one),) = choose_input_ranges(model, DAC_ONLY, [(x, x)], seed=0).items()
    exact = functional.linear(x, model.weight)
    errors, relative = {}, {}
    for quantile in QUANTILES:
        reach = torch.quantile(x.abs(), quantile).item()
        codes = (x / reach * 127).clamp(-127, 127).round()
        error = (functional.linear(codes * reach / 127, model.weight) - exact).norm(dim=1)
        size = exact.norm(dim=1).square()
        errors[quantile] = error.norm().item()
        relative[quantile] = (error.square() / size.clamp(min=size[size > 0].median())).mean().sqrt().item()
    assert one.quantile in (min(errors, key=errors.get), min(relative, key=relative.get))
    assert errors[one.quantile] == pytest.approx(min(errors.values()))  # the layer is the whole network
    assert one.relative_error == pytest.approx(relative[one.quantile], rel=1e-3)
    assert one.value == pytest.approx(torch.quantile(x.abs(), one.quantile).item(), rel=1e-5)


def test_only_the_maximum_is_taken_where_every_vector_is_scaled_by_its_own():
    managed = changed(RASCH, periphery={"noise_management": "abs_max", "noise_management_threshold": 0.0})
    ranges = chosen(Shifted(0.0), preset=managed)
    assert {one.quantile for one in ranges.values()} == {1.0}
    assert ranges["first"].value == max(x.abs().max().item() for x, _ in batches())


def block_images() -> list[tuple[Tensor, Tensor]]:
    x = torch.randn(12, 4, 6, 6, generator=rng.generator(0, "images"))
    return [(x[:7], x), (x[7:], x)]


def test_groups_and_tiles_split_over_rows_and_columns_lose_no_more_than_converters_do():
    """A wrong row, group or tile would give an error near 1; every layer type is in this network."""
    model = seeded(Block)
    split = changed(DAC_ONLY, tile={"max_rows": 20, "max_columns": 5})
    found = choose_input_ranges(model, split, block_images(), seed=0, keep_digital=["line", "volume"])
    assert list(found) == ["plain", "same", "grouped", "depthwise", "head"]
    assert all(one.relative_error < 0.02 for one in found.values()), found
    whole = choose_input_ranges(model, DAC_ONLY, block_images(), seed=0)
    assert {"line", "volume"} < set(whole)
    assert all(one.relative_error < 0.02 for one in whole.values()), whole


def test_tied_layer_counts_the_inputs_of_all_its_uses():
    model, x = seeded(Tied), torch.rand(20, 6)
    ranges = choose_input_ranges(model, DAC_ONLY, [(x, x)], seed=0)
    with torch.no_grad():
        both_uses = torch.cat([x, model.first(x).relu()])
    sample = InputSample(6, x.device, seed=0, path="first")
    watch_inputs(model, [(crossbar_placements(model)[0], sample.add)], [(x, x)])
    assert list(ranges) == ["first", "head"]
    assert (len(sample.vectors), sample.largest) == (40, both_uses.abs().max().item())


# Sampling


def test_picked_windows_are_those_of_the_whole_map():
    for kernel, stride, padding, dilation in product((1, 3), (1, 2), (0, 2), (1, 2)):
        x = torch.randn(3, 4, 9, 7)
        geometry = [(kernel, 2), (stride, 1), [(padding, padding), (1, 0)], (dilation, 1)]
        every = split_windows(x, *geometry, groups=2).flatten(0, 2).flatten(1)
        places = torch.randperm(len(every))[:11]
        assert torch.equal(pick_windows(x, places, *geometry), every[places])


def test_sample_is_bounded_and_does_not_depend_on_batch_sizes():
    layer = nn.Conv1d(3, 2, 3)
    x = torch.randn(40, 3, 202)
    samples = []
    for size in (40, 7):
        sample = InputSample(9, x.device, seed=0, path="layer")
        watch_inputs(layer, [(crossbar_placements(layer)[0], sample.add)], [(part, None) for part in x.split(size)])
        samples.append(sample)
    assert samples[0].vectors.shape == (4096, 9)
    assert torch.equal(samples[0].vectors, samples[1].vectors)
    assert samples[0].largest == x.abs().max().item()
    layer = nn.Linear(2**14, 1)
    wide = InputSample(2**14, x.device, seed=0, path="wide")
    watch_inputs(layer, [(crossbar_placements(layer)[0], wide.add)], [(torch.zeros(100, 2**14), None)])
    assert len(wide.vectors) == 64


# Draws

noisy = pytest.mark.filterwarnings("ignore::analog_samson.errors.InputRangeWarning")  # a layer of four inputs


def simulate(model: nn.Module, preset: Preset = RASCH, scale: float = 1.0, **more: Any) -> Any:
    data = [(x, torch.zeros(50, dtype=torch.long)) for x, _ in batches(scale)]
    return simulate_drift(model, preset, data, times=[1.0], instances=2, seed=0, calibration=data, **more)


def test_ranges_are_the_same_again_and_other_with_another_seed_and_leave_streams_alone():
    model = seeded(lambda: Shifted(0.0))
    before = torch.get_rng_state()
    first, again, other = chosen(model), chosen(model), chosen(model, seed=1)
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


@noisy
def test_chips_are_those_that_given_ranges_meet():
    """The search disturbs no stream of the chips."""
    model = seeded(lambda: Shifted(0.0))
    searched = simulate(model)
    values = {path: one.value for path, one in searched.input_ranges.items()}
    assert simulate(model, input_range=values).records == searched.records


@noisy
def test_std_gives_the_ranges_of_the_preset_and_other_chips_answers():
    model = seeded(lambda: Shifted(0.0))
    by_std = simulate(model, input_range="std")
    values = {path: one.value for path, one in chosen(model, "std").items()}
    assert by_std.records == simulate(model, input_range=values).records
    assert by_std.records != simulate(model).records


# Layers that tiles get wrong


def uneven() -> nn.Module:
    """Inputs of very different size, the small ones with the large weights: no range suits both."""
    model = seeded(lambda: nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3)))
    sizes = torch.tensor([*[1000.0] * 3, *[1.0] * 5])
    model[0].weight.data /= sizes
    return nn.Sequential(Scaled(sizes), *model)


class Scaled(nn.Module):
    def __init__(self, sizes: Tensor) -> None:
        super().__init__()
        self.register_buffer("sizes", sizes)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.sizes


def test_layer_that_tiles_get_wrong_is_named_with_the_remedy():
    with pytest.warns(InputRangeWarning, match=r'1, is off by \d+ %.*--keep-digital first, in .*=\["first"\]'):
        result = simulate(uneven())
    assert result.input_ranges["1"].relative_error > 0.2
    assert result.input_ranges["3"].relative_error < 0.2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", CoverageWarning)  # the layer kept digital is most of this network
        simulate(uneven(), keep_digital=["1"])


# Run folders


@pytest.fixture
def options(tmp_path):
    return small_options(tmp_path, images=60, tested=20, instances=1)


def converters(options: Any, **more: Any) -> Any:
    return options.replace(preset="pcm_rasch_2023", times=(1.0,), **more)


def test_run_stores_method_and_ranges_and_reports_inaccurate_layers(options, tmp_path):
    with run_simulation(converters(options), tmp_path / "run") as run:
        assert run.options["input_range"] == "output_error"
        stored = run.meta("input_ranges")
        assert [one["path"] for one in stored] == ["body.0", "head"]
        assert all(0 < one["relative_error"] < 1 and 0 < one["codes_used"] < 1 for one in stored)
        stored[1]["relative_error"] = 0.674
        run.set_meta("input_ranges", stored)
    text = make_report([tmp_path / "run"], "text", out=None, html=False, say=print)
    assert "layer head is off by 67 % (RMS)" in text
    assert "--keep-digital head" in text


def test_run_that_is_continued_keeps_its_ranges(options, tmp_path):
    run_simulation(converters(options), tmp_path / "run").close()
    with run_simulation(converters(options), tmp_path / "run") as run:
        run.set_meta("input_ranges", [one | {"value": 0.5} for one in run.meta("input_ranges")])
    with run_simulation(converters(options), tmp_path / "run") as run:
        assert {one["value"] for one in run.meta("input_ranges")} == {0.5}


def without_the_option(folder: Path) -> None:
    """The run as version 0.1 left it: no such option, no ranges stored."""
    lines = (folder / "run.toml").read_text().splitlines(keepends=True)
    assert lines[0].startswith(MARK)
    kept = [line for line in lines if not line.startswith("input_range")]
    (folder / "run.toml").write_text("".join(kept))


def test_run_of_a_version_without_the_option_repeats_and_continues_with_std(options, tmp_path):
    old = converters(options, input_range="std")
    with run_simulation(old, tmp_path / "old") as run:
        records = run.records()
    without_the_option(tmp_path / "old")
    repeated = read_config(tmp_path / "old", [old.model])
    assert repeated == old
    with run_simulation(repeated, tmp_path / "again") as run:
        assert run.records() == records
    run_simulation(old, tmp_path / "old").close()
    with pytest.raises(RunError, match="input_range: the run there has 'std', this one 'output_error'"):
        run_simulation(converters(options), tmp_path / "old")


def test_run_without_converters_stores_no_method_and_continues_whatever_it_is(options, tmp_path):
    with run_simulation(options, tmp_path / "run") as run:
        assert "input_range" not in run.options
    run_simulation(options.replace(input_range="std"), tmp_path / "run").close()
    assert read_config(tmp_path / "run", [options.model]).input_range == "std"


# A real network


@pytest.mark.slow
def test_keyword_transformer_survives_converters_with_its_input_layer_digital(shared, monkeypatch):
    """KWT-1: a high quantile drops it to chance; rescaled inputs help, and its input layer digital helps most."""
    monkeypatch.syspath_prepend(shared / "networks")
    study = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "networks.py"))["kwt1"](
        shared / "networks", importlib.import_module("nets"), 400
    )

    def after_a_day(**given: Any) -> tuple[float, dict[str, InputRange]]:
        result = simulate_drift(
            study.model, RASCH, study.test[::2], times=[86400.0], instances=1, seed=0, task=study.task,
            calibration=study.calibration, **given,
        )  # fmt: skip
        found = [r.value for r in result.records if r.stage == "drift" and r.metric == "accuracy_percent"]
        return found[0], dict(result.input_ranges)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputRangeWarning)
        whole, ranges = after_a_day()
        high, _ = after_a_day(input_range="percentile:99.9")
        rescaled, scaled_ranges = after_a_day(input_scaling="smooth")
        kept, _ = after_a_day(keep_digital=["first"])
    assert ranges["project"].relative_error == pytest.approx(0.57, abs=0.1)
    assert scaled_ranges["project"].relative_error < 0.3
    assert high < 20
    assert 80 < whole < 95
    assert rescaled > whole
    assert kept > 95
