"""A language model scored by lm-evaluation-harness while its weights drift: one line makes any loop a task.

Needs `pip install lm_eval`. The task is local, so that nothing is downloaded: perplexity on a text of this script.
"""

import json
import logging
import tempfile
from pathlib import Path

import torch
from torch import nn

from analog_samson import load_preset, simulate_drift
from analog_samson.results.metric import Metric
from analog_samson.tasks.whole import from_callable
from analog_samson.units import format_duration, parse_times

SEED = 0
TEXT = "the cat sat on the mat and the dog sat on the log while the bird sat in the tree and sang to the cat "
TASK = """
task: small_text
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: byte_perplexity}}]
"""


def small_model(folder: Path) -> nn.Module:
    """A GPT-2 of one block on single letters, trained for some seconds, with its tokenizer in `folder`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    letters = ["<end>", *sorted(set(TEXT))]
    tokenizer = Tokenizer(models.WordLevel({letter: place for place, letter in enumerate(letters)}, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>").save_pretrained(folder)
    torch.manual_seed(SEED)
    config = GPT2Config(vocab_size=len(letters), n_positions=64, n_embd=32, n_layer=1, n_head=2, bos_token_id=0)
    model = GPT2LMHeadModel(config)
    ids = torch.tensor(tokenizer.encode(TEXT * 4).ids)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        starts = torch.randint(len(ids) - 33, (16,))
        batch = torch.stack([ids[start : start + 32] for start in starts])
        optimizer.zero_grad()
        model(batch, labels=batch).loss.backward()
        optimizer.step()
    return model.eval()


def main() -> None:
    try:
        import lm_eval
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError:
        print("lm_eval is not installed: pip install lm_eval")
        return
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = small_model(folder)
        (folder / "text.jsonl").write_text(json.dumps({"text": TEXT.strip()}) + "\n")
        (folder / "small_text.yaml").write_text(TASK.format(file=folder / "text.jsonl"))
        tasks = TaskManager(include_path=name, include_defaults=False)

        def evaluate(network: nn.Module) -> dict[str, float]:
            wrapped = HFLM(pretrained=network, tokenizer=name, batch_size=4)
            results = lm_eval.simple_evaluate(wrapped, tasks=["small_text"], task_manager=tasks, bootstrap_iters=0)
            return {"byte_perplexity": results["results"]["small_text"]["byte_perplexity,none"]}

        perplexity = Metric(name="byte_perplexity", title="byte perplexity", lower=1.0, higher_is_better=False)
        result = simulate_drift(
            model,
            load_preset("pcm_nandakumar_2019"),
            [],
            task=from_callable(evaluate, perplexity),
            times=parse_times("1s,1y"),
            instances=2,
            seed=SEED,
        )
    frame = result.frame()
    print(f"digital: {frame[frame.stage == 'digital'].byte_perplexity.item():.3f}")
    for time, values in frame[frame.stage == "drift"].groupby("time_seconds").byte_perplexity:
        print(f"after {format_duration(time)}: {values.mean():.3f} +- {values.std():.3f} (n = {len(values)})")


if __name__ == "__main__":
    main()
