"""Optuna chooses clipping and rho of SAMSON by the accuracy of simulated chips after a year, on held-out images.

Needs `pip install optuna`. A tenth of the training images decides; the test images are looked at once, at the end.
"""

from importlib.util import find_spec
from typing import Any

from torch import nn

from analog_samson import rng, simulate_drift
from analog_samson.data import ImageSet, normalization_for, open_data
from analog_samson.data.batches import Batches
from analog_samson.models.build import build_model
from analog_samson.training import TrainOptions, fit

TRIALS, EPOCHS, SEED = 8, 4, 0


def trained(images: ImageSet, held_out: ImageSet, *, clip: float, rho: float) -> nn.Module:
    """The same initial weights and order of images in each trial."""
    with rng.stream(SEED, "initial weights"):
        model = build_model("digits_cnn")
    options = TrainOptions(
        seed=SEED, epochs=EPOCHS, batch_size=64, learning_rate=0.05, method="samson", clip=clip, rho=rho
    )
    fit(model, images, held_out, options)
    return model


def after_a_year(model: nn.Module, images: ImageSet, seed: int) -> float:
    """Mean accuracy [%] of five chips, which are the same for each trial."""
    batches = Batches(images, normalization_for("digits"), batch_size=500, device="cpu")
    result = simulate_drift(model, "pcm_nandakumar_2019", batches, times="1y", instances=5, seed=seed)
    return float(result.frame().query("stage == 'drift'").accuracy_percent.mean())


def search(trials: int) -> Any:
    """An Optuna study; its best parameters had the best chips on images that no trial was trained on."""
    import optuna

    held_out, images = open_data("digits", "train").split(0.1, SEED)

    def objective(trial: optuna.Trial) -> float:
        clip = trial.suggest_float("clip", 0.05, 1.0, log=True)
        rho = trial.suggest_float("rho", 0.02, 2.0, log=True)
        return after_a_year(trained(images, held_out, clip=clip, rho=rho), held_out, seed=1)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=SEED))
    study.optimize(objective, n_trials=trials)
    return study


def main() -> None:
    if find_spec("optuna") is None:
        print("not installed: pip install optuna")
        return
    study = search(TRIALS)
    for trial in study.trials:
        print(f"clip {trial.params['clip']:.2f}, rho {trial.params['rho']:.2f}: {trial.value:.1f} % held out")
    images, test = open_data("digits", "train"), open_data("digits", "test")
    chosen = trained(images, test, **study.best_params)
    print(f"the best of them, on test images and other chips: {after_a_year(chosen, test, seed=2):.1f} %")


if __name__ == "__main__":
    main()
