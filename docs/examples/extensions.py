"""One of each: a weight type, a noise model, a training method, a task with its metric, and a report section.

Every part is registered in one place, from outside of the package. Run as a script, this trains a network with the
method and simulates it with all of them.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from analog_samson import load_preset, simulate_drift
from analog_samson.chip.device.models import programming_noise
from analog_samson.crossbar.layout import outputs_first
from analog_samson.crossbar.registry import Rule, register_rule
from analog_samson.data import normalization_for, open_data
from analog_samson.data.batches import Batches
from analog_samson.presets.fields import NonNegative, Section
from analog_samson.report.section import Section as ReportSection
from analog_samson.report.section import register_section
from analog_samson.report.table import Column, Table, frame_of
from analog_samson.results.metric import Metric
from analog_samson.sharpness.methods import register_method
from analog_samson.sharpness.perturbations import WorstCase
from analog_samson.tasks.catalogue import register_task
from analog_samson.tasks.classification import Classification
from analog_samson.training import TrainOptions, fit


# A weight type: a module with a weight of its own, and how that weight is arranged on a crossbar.
class Cosine(nn.Module):
    """A linear layer on inputs of length one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 8 * functional.linear(functional.normalize(x, dim=-1), self.weight)


register_rule(Cosine, Rule(outputs_first))


# A noise model: what a preset's section says, and what the devices do.
class UniformProgramming(Section):
    """g = g_target + w * U(-1, 1), not below 0."""

    model: Literal["uniform"]
    half_width_microsiemens: NonNegative = Field(description="largest deviation from the target")


@programming_noise(UniformProgramming, strengths=("half_width_microsiemens",))
def uniform(g_target, section, device, generator):
    draw = 2 * torch.rand(g_target.shape, generator=generator) - 1
    return (g_target + section.half_width_microsiemens * draw.to(g_target.device)).clamp(min=0)


# A training method: how far each weight may move.
@register_method("root")
@dataclass(frozen=True, kw_only=True)
class Root(WorstCase):
    """Between SAM and ASAM: each weight moves in proportion to the root of its size."""

    rho: float = 0.2
    formula = "sqrt |w|"
    source = "an example"

    def scale(self, weight):
        return weight.abs().sqrt()


# A task with its metric: classification, scored by how often the network is sure of the right class.
@dataclass(frozen=True, kw_only=True)
class Confident(Classification):
    """The share of images whose right class gets more than half of the probability."""

    name = "confident"

    def __post_init__(self):
        sure = Metric(
            name="sure_percent", title="sure and right", unit="%", difference_unit="points", lower=0, upper=100
        )
        object.__setattr__(self, "metrics", (sure,))

    def start(self, device):
        return torch.zeros(2, device=device)

    def update(self, state, output, batch):
        sure = output.softmax(1).gather(1, batch[1][:, None]) > 0.5
        return state + torch.stack([sure.sum(), torch.tensor(len(sure), device=state.device)])

    def compute(self, state):
        return {"sure_percent": 100 * float(state[0] / state[1])}


register_task("confident", Confident)


# A report section: a table with a sentence, in every format of the report.
def worst_chips(report):
    """The worst chip of each network at its last time."""
    worst = min if report.metric.higher_is_better else max
    rows = [
        {"network": report.label(result), "worst": worst(result.states[-1].values.values())}
        for result in report.simulated
    ]
    columns = [Column("network"), Column("worst", "worst chip", "{:.1f}".format)]
    return Table(title="Worst chips", frame=frame_of(rows), columns=columns)


sentence = "The worst chip has {{ table.frame.worst.min() | value(metric) }}."
register_section(ReportSection(name="worst_chips", title="Worst chips", table=worst_chips, sentence=sentence))


def own_preset(path: Path) -> Path:
    """A preset with the noise model above, made from one of the package's."""
    import tomli_w

    plain = load_preset("pcm_nandakumar_2019").model_dump(mode="json")
    plain |= {"name": path.stem, "programming": {"model": "uniform", "half_width_microsiemens": 3.0}}
    path.write_text(tomli_w.dumps(plain))
    return path


def build(num_classes: int = 10) -> nn.Module:
    """A network with that layer, for the command line: --model extensions:build."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), Cosine(32, num_classes))


if __name__ == "__main__":
    digits = {split: open_data("digits", split, limit=300) for split in ("train", "test")}
    model = build()
    fit(model, digits["train"], digits["test"], TrainOptions(seed=0, epochs=4, method="root"))
    data = Batches(digits["test"], normalization_for("digits"), batch_size=300, device="cpu")
    with tempfile.TemporaryDirectory() as name:
        preset = load_preset(str(own_preset(Path(name) / "uniform_pcm.toml")))
    print(simulate_drift(model, preset, data, times=[1.0, 86400.0], instances=3, seed=0, task=Confident()))
