"""SAMSON in PyTorch Lightning with automatic optimization, resumed from its checkpoint; then a year on PCM.

Needs `pip install "lightning>=2.6"`. Lightning gives the optimizer a closure, which SAMSON runs at both points.
"""

import logging
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from analog_samson import SAMSON, load_checkpoint, load_preset, simulate_drift
from analog_samson.data import open_data
from analog_samson.data.batches import Batches
from analog_samson.data.normalization import normalization_for
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import load_into
from analog_samson.training.weight_noise import clip_to_std

SEED = 0


def images(part: str, limit: int) -> tuple[torch.Tensor, torch.Tensor]:
    found = open_data("digits", part, limit=limit)
    return next(iter(Batches(found, normalization_for("digits"), batch_size=limit, device="cpu")))


def module() -> Any:
    import lightning

    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = build_model("digits_cnn")

        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            x, y = batch
            return nn.functional.cross_entropy(self.model(x).float(), y)

        def configure_optimizers(self) -> Any:
            optimizer = SAMSON(self, torch.optim.SGD, rho=0.5, lr=0.05, momentum=0.9)
            return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)]

        def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any = None, *_: Any, **__: Any) -> Any:
            """Lightning's own clipping under mixed precision refuses optimizers that know a GradScaler."""
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

        def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
            clip_to_std(self.model, 3.0)

    lightning.seed_everything(SEED, verbose=False)
    return Classifier()


def trainer(folder: Path, epochs: int, **settings: Any) -> Any:
    import lightning

    return lightning.Trainer(
        default_root_dir=folder, max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, gradient_clip_val=1.0, **settings,
    )  # fmt: skip


def loader() -> DataLoader:
    return DataLoader(TensorDataset(*images("train", 512)), batch_size=64, shuffle=True)


def main() -> None:
    if find_spec("lightning") is None:
        print("not installed: pip install lightning")
        return
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the number of workers, and of a second closure in a step
        first = trainer(Path(folder), 2, precision="bf16-mixed")
        first.fit(module(), loader())
        first.save_checkpoint(Path(folder) / "half.ckpt")
        second, classifier = trainer(Path(folder), 4, precision="bf16-mixed"), module()
        second.fit(classifier, loader(), ckpt_path=str(Path(folder) / "half.ckpt"), weights_only=True)
        second.save_checkpoint(Path(folder) / "whole.ckpt")
        print(f"epochs: {second.current_epoch}, updates: {second.global_step}")
        network = build_model("digits_cnn")
        load_into(network, load_checkpoint(Path(folder) / "whole.ckpt"))  # Lightning's file, read as weights only
    test = [images("test", 200)]
    result = simulate_drift(
        network.eval(), load_preset("pcm_nandakumar_2019"), test, times=[31536000.0], instances=3, seed=SEED
    )
    for stage in ("digital", "drift"):
        values = [r.value for r in result.records if r.metric == "accuracy_percent" and r.stage == stage]
        print(f"accuracy, {stage}: {sum(values) / len(values):.1f} %")


if __name__ == "__main__":
    main()
