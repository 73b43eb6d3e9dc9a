"""A network quantised by torchao: its weights as they are after quantisation, on tiles.

Needs `pip install torchao`. Tiles hold conductances, not codes, so the weights are dequantised first.
"""

from importlib.util import find_spec

import torch
from torch import nn

from analog_samson import simulate_drift
from analog_samson.data import normalization_for, open_data
from analog_samson.data.batches import Batches
from analog_samson.tasks.evaluation import evaluate
from analog_samson.training import TrainOptions, fit


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def dequantise(model: nn.Module) -> nn.Module:
    """Put plain tensors of the same values in place of torchao's; the model is changed and returned."""
    for module in model.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            if type(value.data).__module__.startswith("torchao."):
                setattr(module, name, nn.Parameter(value.dequantize()))
    return model


def main() -> None:
    if find_spec("torchao") is None:
        print("not installed: pip install torchao")
        return
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model, train, test = network(), open_data("digits", "train"), open_data("digits", "test")
    fit(model, train, test, TrainOptions(seed=0, epochs=6, batch_size=64, learning_rate=0.05, method="sgd", clip=0.2))
    images = Batches(test, normalization_for("digits"), batch_size=500, device="cpu")
    print(f"floats: {evaluate(model, images).accuracy_percent:.1f} %")
    quantize_(model, Int8WeightOnlyConfig())
    print(f"quantised: {evaluate(model, images).accuracy_percent:.1f} %")
    result = simulate_drift(dequantise(model), "pcm_nandakumar_2019", images, times="1d,1y", instances=3, seed=0)
    print(result.summary())


if __name__ == "__main__":
    main()
