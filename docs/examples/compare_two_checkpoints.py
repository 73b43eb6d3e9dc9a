"""Two checkpoints on the same simulated chips: is one better, or is the difference within the noise?"""

from pathlib import Path

from analog_samson import load_checkpoint, load_preset, simulate_drift
from analog_samson.analysis.statistics import paired_difference
from analog_samson.data import Normalization, open_data
from analog_samson.data.batches import Batches
from analog_samson.models.restore import restore_model
from analog_samson.results.metric import ACCURACY
from analog_samson.simulation.result import SimulationResult
from analog_samson.training.job import TrainJob, prepare_training
from analog_samson.units import parse_duration

YEAR = parse_duration("1y")
TRAININGS = {"sgd": {"method": "sgd"}, "samson": {"method": "samson", "rho": 0.5, "clip": 0.2}}


def train(name: str, folder: Path) -> Path:
    """A checkpoint; the same call again finds the training finished."""
    job = TrainJob(data="digits", model="digits_cnn", seed=0, epochs=12, **TRAININGS[name])
    checkpoint = prepare_training(job).run(folder / name).checkpoint
    assert checkpoint is not None
    return checkpoint


def simulate(path: Path) -> SimulationResult:
    """Ten chips after one year. The chips are named by the seed, so both checkpoints meet the same ones."""
    checkpoint = load_checkpoint(path)
    normalization = Normalization.from_metadata(checkpoint.metadata["normalization"])
    images = Batches(open_data("digits", "test"), normalization, batch_size=250, device="cpu")
    preset = load_preset("pcm_nandakumar_2019")
    return simulate_drift(restore_model(checkpoint), preset, images, times=[YEAR], instances=10, seed=0)


def by_instance(result: SimulationResult) -> dict[int, float]:
    """Accuracy [%] of each chip after the year."""
    return {
        record.instance: record.value
        for record in result.records
        if record.stage == "drift" and record.metric == "accuracy_percent"
    }


def main() -> None:
    accuracy = {name: by_instance(simulate(train(name, Path("trainings")))) for name in TRAININGS}
    for name, values in accuracy.items():
        print(f"{name}: {sum(values.values()) / len(values):.1f} % after one year, {len(values)} chips")
    difference = paired_difference(
        accuracy["sgd"], accuracy["samson"], step=ACCURACY.step(len(open_data("digits", "test")))
    )
    assert difference is not None
    print(f"samson - sgd: {difference.mean:+.1f} points, 95 % interval [{difference.low:+.1f}, {difference.high:+.1f}]")
    print("significant" if difference.significant else "not significant")


if __name__ == "__main__":
    main()
