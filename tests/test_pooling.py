"""Seeds of one checkpoint on one preset are one sample of chips, and networks are compared chip by chip over them."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
from synthetic_runs import META, synthetic_records, synthetic_run

from analog_samson.analysis.comparison import compare
from analog_samson.analysis.completeness import missing
from analog_samson.analysis.ranking import rank_networks
from analog_samson.analysis.runs import Run, read_runs
from analog_samson.errors import RunError
from analog_samson.report.command import report_blocks
from analog_samson.report.contents import Contents
from analog_samson.report.exports import render_json, render_marked_csv
from analog_samson.report.headline import headline
from analog_samson.report.page import page_groups, render_page
from analog_samson.results.records import Record
from analog_samson.results.store import open_run
from analog_samson.simulation.comparison import compare_runs

YEAR = 31536000.0


def seeded_run(folder: Path, network: str, seed: int, **numbers) -> Path:
    """A run of `network` with this seed, at FOLDER/NETWORK/seedN; `numbers` may hold meta and options too."""
    meta = {"seed": seed, **numbers.pop("meta", {})}
    options = {"seed": seed, **numbers.pop("options", {})}
    return synthetic_run(
        folder / network / f"seed{seed}", network, meta=meta, options=options, **{"seed": 10 * seed, **numbers}
    )


def read(*paths: Path) -> tuple[Run, ...]:
    return read_runs([open_run(path) for path in paths])


def last_accuracies(run: Run) -> dict[int, float]:
    return dict(run.results[0].states[-1].values)


def test_seeds_are_one_sample_and_are_never_ranked_against_each_other(tmp_path):
    paths = [seeded_run(tmp_path, "sgd", seed) for seed in (0, 1, 2)]
    (run,) = runs = read(*paths)
    alone = [value for path in paths for value in last_accuracies(read(path)[0]).values()]
    (result,) = run.results
    last = result.states[-1]
    assert (run.name, result.checkpoint, result.seeds, run.seeds) == ("sgd", "sgd", 3, (0, 1, 2))
    assert (last.value.n, result.digital.value.n) == (15, 1)
    assert last.value.mean == pytest.approx(mean(alone))
    assert [point.value.n for point in result.sweep] == [1, *[15] * 5]
    assert not compare(runs)
    assert missing(run) is None
    assert "15 chips over 3 seeds" in headline(Contents(runs)).second
    assert any("15 chips over 3 seeds (0-2) are one sample" in str(block) for block in report_blocks(Contents(runs)))


def test_networks_are_paired_by_seed_and_instance(tmp_path):
    """The second network has seeds 1 and 2 alone; every chip of it is one point better than the same of the first."""
    first = [seeded_run(tmp_path, "sgd", seed) for seed in (0, 1, 2)]
    second = []
    for seed in (2, 1):
        better = [
            record if record.metric != "accuracy_percent" or record.stage != "drift" else record_plus(record, 1.0)
            for record in synthetic_records("sam", seed=10 * seed)
        ]
        second.append(seeded_run(tmp_path, "sam", seed, records=better, meta={"checkpoint": {"sha256": "ef" * 32}}))
    runs = read(*first, *second)
    (comparison,) = compare(runs)
    step = comparison.steps[-1]
    assert (step.time_seconds, step.difference.n, comparison.obstacles) == (YEAR, 10, ())
    assert step.difference.mean == pytest.approx(1.0)
    assert step.difference.high - step.difference.low < 0.1  # the chips' own luck cancels
    assert [entry.network for entry in rank_networks(runs).on("pcm_nandakumar_2019")] == ["sam", "sgd"]
    assert compare_runs([*first, *second]).runs == runs


def record_plus(record: Record, points: float) -> Record:
    return replace(record, value=record.value + points)


def test_single_seed_is_paired_with_its_chips_among_pooled_ones(tmp_path):
    paths = [seeded_run(tmp_path, "sgd", seed) for seed in (0, 3)]
    other = seeded_run(tmp_path, "sam", 3, fall=9.0)
    runs = read(*paths, other)
    assert set(last_accuracies(runs[1])) == {5, 6, 7, 8, 9} < set(last_accuracies(runs[0]))
    assert compare(runs)[0].steps[-1].difference.n == 5
    assert (runs[0].name, runs[1].name) == ("sgd", "seed3")


def test_networks_without_a_common_seed_are_not_compared(tmp_path):
    paths = [seeded_run(tmp_path, "sgd", seed) for seed in (0, 1)]
    others = [seeded_run(tmp_path, "sam", seed) for seed in (2, 3)]
    (comparison,) = compare(read(*paths, *others))
    assert comparison.obstacles == ("seed differs: 0-1 and 2-3",)
    with pytest.raises(RunError, match="seed differs: 0-1 and 2-3"):
        compare_runs([*paths, *others])


@pytest.mark.parametrize(
    "other",
    [
        {"meta": {"preset_sha256": "aa"}},
        {"meta": {"data": {**META["data"], "fingerprint": "other"}}},
        {"meta": {"checkpoint": {"sha256": "other"}}},
        {"meta": {"checkpoint": {}}},
        {"options": {"engine": "aihwkit"}},
    ],
    ids=["preset", "data", "weights", "weights not recorded", "engine"],
)
def test_runs_that_differ_in_more_than_the_seed_are_not_pooled(tmp_path, other):
    runs = read(seeded_run(tmp_path, "sgd", 0), seeded_run(tmp_path, "sgd", 1, **other))
    assert [len(run.stored) for run in runs] == [1, 1]


def test_seed_that_was_simulated_twice_is_not_counted_twice(tmp_path):
    runs = read(seeded_run(tmp_path / "x", "sgd", 0), seeded_run(tmp_path / "y", "sgd", 0))
    assert len(runs) == 2


def test_other_numbers_of_chips_and_moments_are_pooled_and_what_is_missing_is_told_by_seed(tmp_path):
    more = seeded_run(tmp_path, "sgd", 0, instances=8, options={"instances": 8, "checkpoint": "elsewhere/sgd.pt"})
    half = [record for record in synthetic_records("sgd", seed=10) if record.time_seconds != YEAR]
    (run,) = read(more, seeded_run(tmp_path, "sgd", 1, records=half))
    assert [state.value.n for state in run.results[0].times] == [13, 13, 13, 8]
    assert missing(run) == "seed 1: not finished: 5 instances asked, 1y has none."


def test_exports_hold_every_seed_as_it_is_stored(tmp_path):
    paths = [seeded_run(tmp_path, "sgd", seed) for seed in (0, 1)]
    runs = read(*paths)
    rows = list(csv.DictReader(render_marked_csv(runs).splitlines()))
    assert {row["run"] for row in rows} == {"seed0", "seed1"}
    assert {int(row["instance"]) for row in rows} == set(range(5))
    assert len(rows) == sum(len(read(path)[0].records) for path in paths)
    document = json.loads(render_json(Contents(runs)))
    assert [run["seed"] for run in document["runs"]] == [0, 1]
    assert {row["n"] for row in document["tables"]["overview"] if row["stage"] == "drift"} == {10}


def test_page_of_pooled_seeds_names_every_run(tmp_path):
    paths = [seeded_run(tmp_path, "sgd", seed) for seed in (0, 1)]
    report = Contents(read(*paths))
    text = render_page(report, page_groups(report))
    assert "10 chips over 2 seeds" in text
    assert all(f"{name}/run.toml" in text for name in ("seed0", "seed1"))
