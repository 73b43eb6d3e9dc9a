"""A transformer fine-tuned by the Trainer of Hugging Face with SAMSON, clipped after each update, resumed, simulated.

Needs `pip install transformers accelerate`. Network and sentences are made here: nothing is downloaded.
"""

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from analog_samson import SAMSON, load_preset, simulate_drift
from analog_samson.tasks.classification import Classification
from analog_samson.training.huggingface import SharpnessAwareTrainer
from analog_samson.training.weight_noise import clip_to_std
from analog_samson.units import format_duration, parse_times

SEED, WORDS, LENGTH = 0, 20, 8


def sentences(count: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """Numbered words, one of which tells the label: 2 or 3 for the first class, 4 or 5 for the second."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(6, WORDS, (count, LENGTH), generator=generator)
    telling = torch.randint(2, 6, (count,), generator=generator)
    ids[torch.arange(count), torch.randint(LENGTH, (count,), generator=generator)] = telling
    labels = (telling > 3).long()
    return [
        {"input_ids": one, "attention_mask": torch.ones_like(one), "labels": y}
        for one, y in zip(ids, labels, strict=True)
    ]


def network() -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(SEED)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return BertForSequenceClassification(BertConfig(vocab_size=WORDS, num_labels=2, **sizes))


def trainer(folder: Path, steps: int, **arguments: Any) -> Any:
    """A Trainer as it is used, but for the mixin and the optimizer."""
    import transformers

    class AnalogTrainer(SharpnessAwareTrainer, transformers.Trainer):
        pass

    class Clip(transformers.TrainerCallback):
        """Clips the weights that go on a crossbar after each update, as Algorithm 1 does."""

        def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            clip_to_std(model, 3.0)

    given = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 2, "save_steps": 30} | arguments
    settings = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=steps, learning_rate=0.01, seed=SEED, report_to=[], use_cpu=True,
        disable_tqdm=True, logging_strategy="no", dataloader_pin_memory=False, **given,
    )  # fmt: skip
    model = network()
    optimizer = SAMSON(model, torch.optim.AdamW, rho=0.05, lr=settings.learning_rate, weight_decay=0.01)
    return AnalogTrainer(
        model, settings, train_dataset=sentences(512, 1), optimizers=(optimizer, None), callbacks=[Clip()]
    )


def main() -> None:
    if find_spec("transformers") is None or find_spec("accelerate") is None:
        print("not installed: pip install transformers accelerate")
        return
    with tempfile.TemporaryDirectory() as folder:
        trainer(Path(folder), 30).train()
        second = trainer(Path(folder), 60)
        second.train(resume_from_checkpoint=True)  # goes on after the 30 updates of the first
        print(f"updates: {second.state.global_step}")
    test = sentences(200, 2)
    batches = [
        {key: torch.stack([one[key] for one in test[at : at + 50]]) for key in test[0]} for at in (0, 50, 100, 150)
    ]
    preset, times = load_preset("pcm_nandakumar_2019"), parse_times("1d,1y")
    result = simulate_drift(
        second.model.eval(),
        preset,
        batches,
        times=parse_times("1d,1y"),
        instances=3,
        seed=SEED,
        task=Classification(classes=2),
    )
    for time in (None, *times):
        values = [r.value for r in result.records if r.metric == "accuracy_percent" and r.time_seconds == time]
        when = "digital" if time is None else format_duration(time)
        print(f"accuracy, {when}: {sum(values) / len(values):.1f} %")


if __name__ == "__main__":
    main()
