"""What an experiment costs on the machine of its scale, by the cost model stated in its file.

training    epochs * (gradients * (images / rate_t * 3 gmacs + steps * seconds_per_step) + test images / rate_e * gmacs)
evaluation  forwards / rate_e * gmacs
"""

from collections.abc import Iterable

from analog_samson.experiments.plan import PRETRAINING, Cell
from analog_samson.experiments.schema import Cost, Evaluation, Scale, TunedChoice, Tuning
from analog_samson.experiments.shown import Shown, measures_of

_BACKWARD = 3  # multiply-accumulates of forward and backward over those of the forward


def estimate_seconds(
    cells: Iterable[Cell], scale: Scale, shows: Shown, instances: int | None = None, tuning: Tuning | None = None
) -> float:
    """Seconds of all cells together, without --limit-images; candidates of a tuning are cells too."""
    return sum(
        training_seconds(cell, scale.cost) + _measuring_seconds(cell, scale, shows, instances, tuning) for cell in cells
    )


def training_seconds(cell: Cell, cost: Cost) -> float:
    """Seconds of one training with its test after each epoch."""
    if not cell.training:
        return 0.0
    setting = cell.setting
    images = cell.sample or setting.train_images
    steps = -(-images // cell.training["batch_size"])
    gradients = _BACKWARD * images * setting.gmacs / cost.training_gmacs_per_second
    tests = setting.test_images * setting.gmacs / cost.evaluation_gmacs_per_second
    one_pass = gradients + steps * cost.seconds_per_step
    return float(cell.training["epochs"] * (cell.gradients * one_pass + tests))


def count_forwards(evaluation: Evaluation, instances: int, test_images: int) -> int:
    """Images that go through a network under noise, those of AdaBS included."""
    noisy = instances * (len(evaluation.times) + sum(sigma > 0 for sigma in evaluation.sigmas))
    quiet = sum(sigma == 0 for sigma in evaluation.sigmas)
    states = (noisy + quiet) * (2 if evaluation.adabs else 1)
    images = min(evaluation.test_limit or test_images, test_images)
    adapted = (noisy + quiet) * evaluation.calibration_limit if evaluation.adabs else 0
    return (1 + states) * images + adapted


def format_seconds(seconds: float) -> str:
    """A rough duration for people.

    >>> [format_seconds(s) for s in (2, 90, 5400, 864000)]
    ['< 1 min', '2 min', '1.5 h', '10 days']
    """
    if seconds < 60:
        return "< 1 min"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 3 * 86400 else f"{seconds / 86400:.0f} days"


def _measuring_seconds(cell: Cell, scale: Scale, shows: Shown, instances: int | None, tuning: Tuning | None) -> float:
    setting, evaluation = cell.setting, scale.evaluation
    if cell.method == PRETRAINING:
        return 0.0
    if cell.holdout:
        images = _scoring_forwards(cell, tuning)
    else:
        images = setting.test_images
        if evaluation is not None:
            images += count_forwards(evaluation, instances or setting.instances, setting.test_images)
        if evaluation is not None:
            measured = evaluation.sharpness_limit or setting.train_images
            images += len(measures_of(shows)) * (_BACKWARD + 1) * min(measured, setting.train_images)
    return images * setting.gmacs / scale.cost.evaluation_gmacs_per_second


def _scoring_forwards(cell: Cell, tuning: Tuning | None) -> int:
    """Images of a candidate's score: its held-out images are the test images of the criterion."""
    if tuning is None or not cell.holdout:
        return 0
    criterion = tuning.criterion
    evaluation = Evaluation(
        adabs=criterion.adabs,
        sigmas=criterion.sigmas,
        preset=criterion.preset,
        times=criterion.times,
        test_limit=0,
        calibration_limit=criterion.calibration_limit,
        sharpness_limit=0,
    )
    held_out = round(cell.holdout * cell.setting.train_images)
    if isinstance(cell.setting.chosen, TunedChoice):
        held_out = min(cell.setting.chosen.images or held_out, held_out)
    return count_forwards(evaluation, criterion.instances, held_out)
