"""How a training looks on the terminal: a bar with loss, accuracy and time left, and a line for each epoch."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analog_samson.results.metric import Metric
    from analog_samson.training import EpochRecord, TrainProgress


@contextmanager
def training_progress(
    epochs: int, *, lines: bool = True, quiet: bool = False
) -> Iterator[Callable[["TrainProgress"], None]]:
    """Yields a function for `fit(progress=...)`; no bar where the output is no terminal, nothing where quiet."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr, highlight=False, quiet=quiet)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=quiet or not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)

        def show(now: "TrainProgress") -> None:
            done = (now.epoch - 1) * now.steps + now.step
            value = f"{now.value:.{now.metric.decimals}f} {now.metric.unit}".rstrip()
            text = f"epoch {now.epoch}/{epochs}  loss {now.loss:.4f}  {now.metric.title} {value}"
            bar.update(task, completed=done, total=epochs * now.steps, description=text)
            if lines and now.record is not None:
                console.print(epoch_line(now.record, epochs, now.metric), markup=False, soft_wrap=True)

        yield show


def epoch_line(record: "EpochRecord", epochs: int, metric: "Metric") -> str:
    """One finished epoch in one line: the loss and the headline metric of training and test samples."""
    width = len(str(epochs))
    unit = f" {metric.unit}".rstrip()
    others = [
        f"{value:.4f}" if name == "loss" else f"{name} {value:.4f}"
        for name, value in record.test_values.items()
        if name != metric.name
    ]
    return (
        f"epoch {record.epoch:>{width}}/{epochs}  "
        f"train {record.train_loss:.4f} {record.train_values[metric.name]:6.2f}{unit}  "
        f"test {' '.join([*others, f'{record.test_values[metric.name]:6.2f}'])}{unit}  "
        f"lr {record.learning_rate:.2g}  {record.seconds:.1f} s"
    )
