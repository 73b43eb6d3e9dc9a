"""What a training is before it starts, and what came of it, as text."""

from typing import Any

from analog_samson.data import ImageSet
from analog_samson.results.metric import LOSS, Metric
from analog_samson.sharpness.perturbation_breakdown import format_breakdown
from analog_samson.training.job import PreparedTraining
from analog_samson.training.records import TrainResult


def describe_prepared(prepared: PreparedTraining) -> str:
    """What is going to be trained, with everything that was decided for the user."""
    options = {name: value for name, value in prepared.options.resolved().items() if value is not None}
    for name in ("normalization", "noise_preset_sha256"):  # the former is among the notes, with its origin
        options.pop(name, None)
    parameters = sum(parameter.numel() for parameter in prepared.model.parameters())
    samples = prepared.samples
    classes = samples.num_classes if isinstance(samples, ImageSet) else len(samples.classes)
    lines = [
        f"{prepared.metadata['model']}: {parameters:,} parameters, {len(samples):,} training {prepared.unit} of "
        + samples.name
        + (f", {classes} classes" if classes else ""),
        *prepared.notes,
        "options: " + ", ".join(f"{name} {_text(value)}" for name, value in options.items()),
    ]
    return "\n".join(lines)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _value(metric: Metric, value: float) -> str:
    return f"{value:.{metric.decimals + 1}f} {metric.unit}".rstrip()


def describe_result(result: TrainResult, unit: str = "images") -> str:
    """What came of it; unit: what a sample is called."""
    metric, best, values = result.metrics[0], result.best, result.scores.values
    lines = (
        [f"the training in that folder was continued after epoch {result.resumed_after}"]
        if result.resumed_after
        else []
    )
    lines += [
        f"test {metric.title} {_value(metric, values[metric.name])} of {result.scores.count} {unit}"
        + (f", loss {values[LOSS.name]:.4f}" if LOSS in result.metrics else "")
        + f" after epoch {len(result.history)} "
        f"({'highest' if metric.higher_is_better else 'lowest'}: {_value(metric, best.test_values[metric.name])} after "
        f"epoch {best.epoch})"
    ]
    if result.perturbation_breakdown is not None:
        lines.append(f"first step, {format_breakdown(result.perturbation_breakdown)}")
    return "\n".join([*lines, f"checkpoint: {result.checkpoint}"])
