"""The task of a run: guessed, named, or the user's own code, stored with the run."""

from pathlib import Path

import pytest
from small import small_options
from torchmetrics.classification import MulticlassF1Score

from analog_samson.errors import OptionError, RunError
from analog_samson.results.store import open_run
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.run import run_simulation
from analog_samson.simulation.stored_options import read_config
from analog_samson.tasks.measured import from_torchmetrics
from analog_samson.tasks.task import Task

F1 = "test_chosen_task:f1"


def f1(num_classes: int) -> Task:
    return from_torchmetrics(MulticlassF1Score(num_classes=num_classes))


def no_task() -> str:
    return "f1"


@pytest.fixture
def options(tmp_path: Path) -> SimulateOptions:
    return small_options(tmp_path, images=60, tested=40, instances=2)


def test_task_of_the_users_own_scores_the_run_and_is_stored(options: SimulateOptions, tmp_path: Path) -> None:
    with run_simulation(options.replace(task=F1), tmp_path / "run") as run:
        assert {record.metric for record in run.records()} >= {"multiclass_f1_score"}
        assert run.meta("task")["metrics"][0]["name"] == "multiclass_f1_score"
        assert run.options["task"] == F1
    with pytest.raises(RunError, match="--task test_chosen_task:f1"):  # a file alone has no code run
        read_config(tmp_path / "run", trusted=[str(options.model)])
    assert read_config(tmp_path / "run", trusted=[str(options.model), F1]).task == F1


def test_named_task_is_the_same_as_the_guessed_one(options: SimulateOptions, tmp_path: Path) -> None:
    found = []
    for name in (None, "classification"):
        run_simulation(options.replace(task=name, times=(1.0,)), tmp_path / str(name)).close()
        with open_run(tmp_path / str(name)) as run:
            found.append((run.meta("task"), run.records()))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clasification", "did you mean 'classification'"),
        ("test_chosen_task:no_task", "expected an analog_samson task, got a str"),
        ("test_chosen_task:nothing", "test_chosen_task has no 'nothing'"),
    ],
)
def test_task_that_is_none_is_refused(name: str, words: str, options: SimulateOptions, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=words):
        run_simulation(options.replace(task=name), tmp_path / "run")
    assert not (tmp_path / "run").exists()
