"""A network of your own, trained with plain PyTorch, on simulated hardware: what is analog, and what one year costs."""

import torch
from torch import Tensor, nn

from analog_samson import load_preset, plan_conversion, simulate_drift
from analog_samson.data import normalization_for, open_data
from analog_samson.data.batches import Batches
from analog_samson.units import format_duration, parse_times

SEED = 0


class Digits(nn.Module):
    """Any nn.Module works: its linear and convolution layers go on tiles, the rest stays digital."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(16 * 4 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


def images(split: str, count: int) -> Batches:
    """Normalised batches (x, y); any iterable of such pairs that can be gone through again will do."""
    return Batches(open_data("digits", split), normalization_for("digits"), batch_size=count, device="cpu")


def train(model: nn.Module, epochs: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for x, y in images("train", 64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()


def main() -> None:
    torch.manual_seed(SEED)
    model, preset = Digits(), load_preset("pcm_nandakumar_2019")
    train(model, epochs=10)
    print(plan_conversion(model, preset, input_shape=(1, 8, 8)).text())
    result = simulate_drift(
        model, preset, images("test", 250), times=parse_times("1s,1h,1d,1y"), instances=5, seed=SEED
    )
    frame = result.frame()
    print(f"digital: {frame[frame.stage == 'digital'].accuracy_percent.item():.1f} %")
    for time, values in frame[frame.stage == "drift"].groupby("time_seconds").accuracy_percent:
        print(f"after {format_duration(time)}: {values.mean():.1f} +- {values.std():.1f} % (n = {len(values)})")


if __name__ == "__main__":
    main()
