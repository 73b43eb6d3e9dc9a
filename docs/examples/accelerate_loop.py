"""SAMSON in a loop of Accelerate, with accumulated gradients, bfloat16 and saved states; then a year on PCM.

Needs `pip install accelerate`.
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from analog_samson import SAMSON, load_preset, simulate_drift
from analog_samson.data import open_data
from analog_samson.data.batches import Batches
from analog_samson.data.normalization import normalization_for
from analog_samson.models.build import build_model
from analog_samson.training.weight_noise import clip_to_std

SEED, PARTS = 0, 2


def images(part: str, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    found = open_data("digits", part, limit=limit)
    return next(iter(Batches(found, normalization_for("digits"), batch_size=limit, device="cpu")))


def prepared(precision: str = "no") -> Any:
    """Accelerator, network, optimizer, schedule and loader as Accelerate prepares them."""
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    set_seed(SEED)
    accelerator = Accelerator(cpu=True, mixed_precision=precision)
    model = build_model("digits_cnn")
    optimizer = SAMSON(model, torch.optim.SGD, rho=0.5, lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    loader = DataLoader(TensorDataset(*images("train", 512)), batch_size=64, shuffle=True)
    return accelerator, *accelerator.prepare(model, optimizer, schedule, loader)


def train_epoch(accelerator: Any, model: nn.Module, optimizer: Any, schedule: Any, loader: Any) -> None:
    """One pass over the data: each batch in micro-batches, all of them at both points."""
    samson = optimizer.optimizer  # Accelerate wraps it, and knows step() only

    def backward(x: torch.Tensor, y: torch.Tensor) -> None:
        for x_part, y_part in zip(x.chunk(PARTS), y.chunk(PARTS), strict=True):
            with accelerator.autocast():
                output = model(x_part)
            accelerator.backward(nn.functional.cross_entropy(output.float(), y_part) * len(y_part) / len(y))

    model.train()
    for x, y in loader:
        backward(x, y)
        samson.first_step(zero_grad=True)  # move to the worst nearby weights
        backward(x, y)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()  # restore the weights exactly, and update
        optimizer.zero_grad()
        clip_to_std(accelerator.unwrap_model(model), 3.0)
    schedule.step()


def main() -> None:
    if find_spec("accelerate") is None:
        print("not installed: pip install accelerate")
        return
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        accelerator, model, optimizer, schedule, loader = prepared("bf16")
        for _ in range(2):
            train_epoch(accelerator, model, optimizer, schedule, loader)
        accelerator.save_state(str(state))
        accelerator, model, optimizer, schedule, loader = prepared("bf16")  # as another process would begin
        accelerator.load_state(str(state))
        for _ in range(2):
            train_epoch(accelerator, model, optimizer, schedule, loader)
        network = accelerator.unwrap_model(model, keep_fp32_wrapper=False).eval()
    test = [images("test", 200)]
    result = simulate_drift(
        network, load_preset("pcm_nandakumar_2019"), test, times=[31536000.0], instances=3, seed=SEED
    )
    for stage in ("digital", "drift"):
        values = [r.value for r in result.records if r.metric == "accuracy_percent" and r.stage == stage]
        print(f"accuracy, {stage}: {sum(values) / len(values):.1f} %")


if __name__ == "__main__":
    main()
