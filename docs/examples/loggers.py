"""TensorBoard, Weights & Biases and MLflow: what a training says after each step, and its chips after each time.

Needs `pip install tensorboard`, `wandb` or `mlflow`. Every one that is installed gets the same numbers; W&B is offline.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

from analog_samson import simulate_drift
from analog_samson.data import normalization_for, open_data
from analog_samson.data.batches import Batches
from analog_samson.models.build import build_model
from analog_samson.training import TrainOptions, fit

Log = Callable[[dict[str, float], str, int], None]  # numbers by name, the name of their axis, the place on it


@contextmanager
def tensorboard(folder: Path) -> Iterator[Log]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder) as writer:

        def log(numbers: dict[str, float], axis: str, at: int) -> None:
            for name, value in numbers.items():
                writer.add_scalar(name, value, at)

        yield log


@contextmanager
def weights_and_biases(folder: Path) -> Iterator[Log]:
    import wandb

    with wandb.init(project="chips", dir=folder, mode="offline") as run:
        run.define_metric("chips_*", step_metric="age_seconds")
        run.define_metric("*", step_metric="update")
        yield lambda numbers, axis, at: run.log({**numbers, axis: at})


@contextmanager
def mlflow(folder: Path) -> Iterator[Log]:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    with mlflow.start_run():
        yield lambda numbers, axis, at: mlflow.log_metrics(numbers, step=at)


LOGGERS = {"tensorboard": tensorboard, "wandb": weights_and_biases, "mlflow": mlflow}


def train_and_age(log: Log) -> float:
    """Train, then simulate chips; both are logged. Returns the mean accuracy [%] at the last time."""
    train, test = open_data("digits", "train"), open_data("digits", "test")
    options = TrainOptions(seed=0, epochs=4, batch_size=64, learning_rate=0.05, method="sgd", clip=0.2)
    model = build_model("digits_cnn")
    fit(model, train, test, options, progress=lambda now: log(now.values(), "update", now.update))

    batches = Batches(test, normalization_for("digits"), batch_size=500, device="cpu")
    result = simulate_drift(model, "pcm_nandakumar_2019", batches, times="1s,1d,1y", instances=3, seed=0)
    aged = result.frame().query("stage == 'drift'").groupby("time_seconds").accuracy_percent
    for seconds, (mean, spread) in aged.agg(["mean", "std"]).iterrows():
        log({"chips_accuracy_percent": mean, "chips_accuracy_spread": spread}, "age_seconds", int(seconds))
    return mean


def main() -> None:
    installed = {name: start for name, start in LOGGERS.items() if find_spec(name)}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        logs = [stack.enter_context(start(Path(folder))) for start in installed.values()]

        def log(numbers: dict[str, float], axis: str, at: int) -> None:
            for one in logs:
                one(numbers, axis, at)

        print(f"after a year: {train_and_age(log):.1f} %, logged by {', '.join(installed) or 'nothing'}")


if __name__ == "__main__":
    main()
