"""What a training is before it starts, and what came of it, as text."""

from typing import Any

from analog_samson.sharpness.perturbation_breakdown import format_breakdown
from analog_samson.training.job import PreparedTraining
from analog_samson.training.records import TrainResult


def describe_prepared(prepared: PreparedTraining) -> str:
    """What is going to be trained, with everything that was decided for the user."""
    options = {name: value for name, value in prepared.options.resolved().items() if value is not None}
    for name in ("normalization", "noise_preset_sha256"):  # the former is among the notes, with its origin
        options.pop(name, None)
    parameters = sum(parameter.numel() for parameter in prepared.model.parameters())
    lines = [
        f"{prepared.metadata['model']}: {parameters:,} parameters, {len(prepared.train_set):,} training images of "
        f"{prepared.train_set.name}, {prepared.train_set.num_classes} classes",
        *prepared.notes,
        "options: " + ", ".join(f"{name} {_text(value)}" for name, value in options.items()),
    ]
    return "\n".join(lines)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def describe_result(result: TrainResult) -> str:
    evaluation, best = result.evaluation, result.best
    lines = (
        [f"the training in that folder was continued after epoch {result.resumed_after}"]
        if result.resumed_after
        else []
    )
    lines += [
        f"test accuracy {evaluation.accuracy_percent:.2f} % of {evaluation.count} images, loss {evaluation.loss:.4f} "
        f"after epoch {len(result.history)} (highest: {best.test_accuracy_percent:.2f} % after epoch {best.epoch})"
    ]
    if result.perturbation_breakdown is not None:
        lines.append(f"first step, {format_breakdown(result.perturbation_breakdown)}")
    return "\n".join([*lines, f"checkpoint: {result.checkpoint}"])
