"""SAMSON in a training loop of your own: two passes a step, weights clipped, and where the perturbation went."""

import torch
from torch import nn

from analog_samson import SAMSON
from analog_samson.data import normalization_for, open_data
from analog_samson.data.batches import Batches
from analog_samson.models.build import build_model
from analog_samson.sharpness.perturbation_breakdown import format_breakdown
from analog_samson.tasks.evaluation import evaluate
from analog_samson.training.weight_noise import clip_weights

EPOCHS = 8


def main() -> None:
    torch.manual_seed(0)
    model = build_model("digits_cnn")
    # The model itself, not its parameters: batch-norm layers are then known, and tensors have names.
    optimizer = SAMSON(model, torch.optim.SGD, rho=0.5, lr=0.05, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    loss = nn.CrossEntropyLoss()
    train, test = (
        Batches(open_data("digits", split), normalization_for("digits"), batch_size=64, device="cpu")
        for split in ("train", "test")
    )
    for _ in range(EPOCHS):
        for x, y in train:
            loss(model(x), y).backward()
            optimizer.first_step(zero_grad=True)  # moves to the worst nearby weights
            loss(model(x), y).backward()
            optimizer.second_step(zero_grad=True)  # back to the weights, and the update
            clip_weights(model, 0.2)
        schedule.step()
    assert optimizer.perturbation_breakdown is not None
    print(f"test accuracy {evaluate(model, test).accuracy_percent:.1f} %")
    print(f"first step, {format_breakdown(optimizer.perturbation_breakdown)}")
    print(f"steps skipped for a gradient that was not finite: {optimizer.skipped_steps}")


if __name__ == "__main__":
    main()
