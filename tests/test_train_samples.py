"""`analog-samson train` on texts and recordings, and `simulate` with what it stored."""

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from commands import error_of, output_of
from scipy.io import wavfile
from torch import nn

from analog_samson.cli.main import main
from analog_samson.cli.train import train
from analog_samson.data.feeding import Feeding, labelled_as_trained
from analog_samson.data.held_out import hold_out
from analog_samson.data.samples import open_samples
from analog_samson.data.tensor_set import TensorBatches
from analog_samson.errors import OptionError
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.results.store import open_run
from analog_samson.simulation.inputs import load_inputs
from analog_samson.simulation.options import SimulateOptions
from analog_samson.simulation.stored_options import read_config
from analog_samson.tasks.classification import Classification

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
app = typer.Typer()
app.command()(train)
call = partial(output_of, app)
error = partial(error_of, app)
WORDS = ("[PAD]", "[UNK]", "good", "fine", "bad", "poor", "film", "meal", "the", "a", "very", "was")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny BERT classifier of random weights with a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(vocab_size=len(WORDS), num_labels=2, max_position_embeddings=16, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertForSequenceClassification(config).save_pretrained(path)
    return path


@pytest.fixture
def texts(tmp_path):
    """Sentences whose only telling word is the last."""
    draws = np.random.default_rng(0)
    rows = [("text", "label")]
    for _ in range(120):
        good = draws.random() < 0.5
        place, word = draws.choice(("film", "meal")), draws.choice(("good", "fine") if good else ("bad", "poor"))
        rows.append((f"the {place} was {word}", "pos" if good else "neg"))
    path = tmp_path / "texts.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def tones(tmp_path):
    """A folder of two words: low and high tones with noise."""
    draws, time = np.random.default_rng(0), np.arange(256) / 8000
    for name, pitch in (("low", 300), ("high", 1800)):
        (tmp_path / "tones" / name).mkdir(parents=True)
        for place in range(30):
            wave = np.sin(2 * np.pi * pitch * time + draws.uniform(0, 6)) + 0.3 * draws.standard_normal(256)
            wavfile.write(tmp_path / "tones" / name / f"{place}.wav", 8000, (8000 * wave).astype(np.int16))
    (tmp_path / "ears.py").write_text(EARS)
    return tmp_path / "tones"


EARS = """from torch import nn


class Ears(nn.Module):
    def __init__(self, num_classes=2):
        super().__init__()
        self.hear = nn.Sequential(nn.Conv1d(1, 8, 9, 4), nn.BatchNorm1d(8), nn.ReLU())
        self.follow = nn.LSTM(8, 8, batch_first=True)
        self.head = nn.Linear(8, num_classes)

    def forward(self, waves):
        heard = self.hear(waves[:, None]).transpose(1, 2)
        return self.head(self.follow(heard)[0].mean(1))
"""
NOISY = ("--method", "samson", "--rho", "0.05", "--noise-preset", "pcm_nandakumar_2019", "--clip-std", "3")


def simulated(*arguments: object) -> dict[str, float]:
    out = arguments[-1]
    common = ["--times", "1h", "--instances", "2", "--sigmas", "0", "--no-html"]
    assert main(["simulate", *map(str, arguments[:-1]), *common, "--out", str(out)]) == 0
    with open_run(Path(str(out))) as run:
        found = [r for r in run.records() if r.metric == run.meta("task")["metrics"][0]["name"]]
        values = {record.stage: record.value for record in found}
        return {"count": run.meta("data")["count"]} | values


def test_text_classifier_is_trained_on_a_csv_and_simulated(folder, texts, tmp_path, capsys):
    out = tmp_path / "run"
    given = ("--model", f"hf:{folder}", "--data", f"text:{texts}", "--holdout", "0.25", *NOISY)
    text = call(*given, "--epochs", 6, "--batch-size", 8, "--lr", "0.01", "--out", out)
    assert "90 training samples of texts.csv, 2 classes" in text
    assert "tested on 30 samples held out" in text
    assert "task classification" in text
    assert "crossbar weight 100.0 %" in text
    metadata = load_checkpoint(out / "checkpoint.safetensors").metadata
    assert metadata["accuracy_percent"] > 90
    assert (metadata["model"], metadata["classes"]) == (f"hf:{folder}", ["neg", "pos"])
    found = simulated("--checkpoint", out / "checkpoint.safetensors", "--data", f"text:{texts}", tmp_path / "sim")
    assert found["digital"] == pytest.approx(metadata["accuracy_percent"])
    assert found["count"] == 30
    assert found["drift"] > 60
    assert read_config(tmp_path / "sim").data == f"text:{texts}"  # which is no code
    again = call(*given, "--epochs", 6, "--batch-size", 8, "--lr", "0.01", "--out", out)
    assert "continued after epoch 6" in again


def test_speech_network_is_trained_on_recordings_and_simulated(tones, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ("--model", "ears:Ears", "--data", "audio:tones", "--holdout", "0.2", "--epochs", 8, "--batch-size", 12)
    call(*given, *NOISY, "--schedule", "cosine", "--out", "run")
    metadata = load_checkpoint("run/checkpoint.safetensors").metadata
    assert metadata["accuracy_percent"] > 90
    assert metadata["classes"] == ["high", "low"]
    given = ("--model", "ears:Ears", "--checkpoint", "run/checkpoint.safetensors", "--data", "audio:tones")
    found = simulated(*given, "sim")
    assert (found["digital"], found["count"]) == (pytest.approx(metadata["accuracy_percent"]), 12)


def test_language_model_and_sentence_pairs_are_trained_too(folder, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    lines = tmp_path / "text.txt"
    lines.write_text("\n".join(["the film was good", "a meal was bad"] * 40))
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(WORDS), n_positions=8, n_embd=8, n_layer=1, n_head=2))
    model.save_pretrained(tmp_path / "gpt")
    for file in (*folder.glob("tokenizer*"), *folder.glob("special_tokens*")):  # the latter only before transformers 5
        text = file.read_text().replace('"model_max_length": 1000000000000000019884624838656', '"model_max_length": 8')
        (tmp_path / "gpt" / file.name).write_text(text)
    steps = ("--method", "sam", "--epochs", 2, "--batch-size", 4, "--lr", "0.05")
    text = call("--model", f"hf:{tmp_path / 'gpt'}", "--data", f"text:{lines}", *steps, "--out", tmp_path / "lm")
    assert "task language_modeling" in text
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("text,second,score\n" + "the film was good,a film was fine,0.9\nthe meal,a bad film,0.1\n" * 8)
    encoder = f"hf:{folder},class=AutoModel"
    text = call("--model", encoder, "--data", f"pairs:{pairs}", *steps, "--out", tmp_path / "sts")
    assert "task sentence_similarity" in text
    checkpoint = tmp_path / "sts" / "checkpoint.safetensors"
    found = simulated("--checkpoint", checkpoint, "--data", f"pairs:{pairs}", tmp_path / "sim")
    assert found["digital"] == pytest.approx(load_checkpoint(checkpoint).metadata["spearman_percent"], abs=1e-3)


def test_speech_recognition_learns_from_transcripts(tones, tmp_path):
    folder = tmp_path / "speech"
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    layers = {"conv_dim": (8,), "conv_kernel": (8,), "conv_stride": (8,), "num_conv_pos_embeddings": 4}
    config = transformers.Wav2Vec2Config(
        vocab_size=5, pad_token_id=0, num_conv_pos_embedding_groups=2, mask_time_prob=0.0, **sizes, **layers
    )
    transformers.Wav2Vec2ForCTC(config).save_pretrained(folder)
    (tmp_path / "vocab.json").write_text('{"<pad>": 0, "|": 1, "a": 2, "b": 3, "<unk>": 4}')
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"), bos_token="<unk>", eos_token="<unk>")
    tokenizer.save_pretrained(folder)
    rows = [f"low/{place}.wav,a\nhigh/{place}.wav,b" for place in range(10)]
    (tones / "said.csv").write_text("path,text\n" + "\n".join(rows) + "\n")
    steps = (
        "--method",
        "samson",
        "--rho",
        "0.01",
        "--epochs",
        2,
        "--batch-size",
        6,
        "--lr",
        "0.01",
        "--holdout",
        "0.2",
    )
    text = call("--model", f"hf:{folder}", "--data", f"audio:{tones / 'said.csv'}", *steps, "--out", tmp_path / "run")
    assert "task speech_recognition" in text
    metadata = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors").metadata
    assert metadata["task"] == "speech_recognition"
    given = ("--checkpoint", tmp_path / "run" / "checkpoint.safetensors", "--data", f"audio:{tones / 'said.csv'}")
    assert simulated(*given, tmp_path / "sim")["digital"] == pytest.approx(metadata["wer_percent"])


def test_training_on_texts_resumes_bit_for_bit(folder, texts, tmp_path, monkeypatch):
    from analog_samson.training import fit

    given = ("--model", f"hf:{folder}", "--data", f"text:{texts}", "--epochs", 3, "--batch-size", 16, "--lr", "0.05")
    call(*given, "--out", tmp_path / "whole")

    def interrupted(*arguments, progress, **options):
        def stop(now):
            if (now.epoch, now.step) == (2, 3):
                raise KeyboardInterrupt

        return fit(*arguments, progress=stop, **options)

    monkeypatch.setattr("analog_samson.training.job.fit", interrupted)
    output_of(app, *given, "--out", tmp_path / "parts", code=130)
    monkeypatch.undo()
    call(*given, "--out", tmp_path / "parts")
    one, other = (load_checkpoint(tmp_path / name / "checkpoint.safetensors").state for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--task", "clasification"], "did you mean 'classification'"),
        (["--data", "text:{plain}"], "plain.txt: task classification needs labels"),
        (["--data", "digits"], "networks of Hugging Face are trained on text:, pairs:, audio:"),
        (["--normalization", "unit"], "--normalization: has an effect on image sets only"),
        (["--model", "hf:{plain}"], "no config.json"),
        (["--task", "speaker_verification"], "speaker_verification"),
        (["--test-data", "text:{other}"], "rename odd in the data"),
    ],
    ids=["task", "labels", "images", "normalization", "folder", "pairs", "classes"],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(folder, texts, tmp_path, change, words):
    (tmp_path / "plain.txt").write_text("the film was good\n" * 20)
    (tmp_path / "other.csv").write_text("text,label\nthe film,odd\na meal,pos\n")
    names = {"plain": tmp_path / "plain.txt", "other": tmp_path / "other.csv"}
    given = {"--model": f"hf:{folder}", "--data": f"text:{texts}"} | {change[0]: change[1].format(**names)}
    text = error(*(part for pair in given.items() for part in pair), "--out", tmp_path / "run")
    assert words in text
    assert not (tmp_path / "run").exists()


def test_classes_of_the_training_number_those_of_other_data(tmp_path):
    (tmp_path / "some.csv").write_text("text,label\nx,b\ny,c\n")
    samples = open_samples(f"text:{tmp_path / 'some.csv'}")
    assert labelled_as_trained(samples, nn.Linear(1, 3), ("a", "b", "c")).targets.tolist() == [1, 2]
    assert labelled_as_trained(samples, nn.Linear(1, 3)).targets.tolist() == [0, 1]


def test_held_out_samples_are_of_each_class_and_never_trained_on(tones):
    whole = open_samples(f"audio:{tones}")
    test, rest = hold_out(whole, 0.2)
    assert (len(test), len(rest)) == (12, 48)
    assert test.targets.bincount().tolist() == [6, 6]
    assert not {wave.numpy().tobytes() for wave in test.inputs} & {wave.numpy().tobytes() for wave in rest.inputs}
    with pytest.raises(OptionError, match="leaves one part empty"):
        hold_out(whole.take(2), 0.1)


def test_shuffled_batches_hold_every_sample_once_in_orders_of_their_own(tones):
    whole = open_samples(f"audio:{tones}")
    batches = TensorBatches(whole, batch_size=7, device="cpu", shuffled=True)
    first, second = (torch.cat([labels for _, labels in batches]) for _ in range(2))
    assert len(first) == len(whole)
    assert not torch.equal(first, second)
    assert len(TensorBatches(whole.take(57), batch_size=7, device="cpu", shuffled=True)) == 8  # a rest of one is left
    assert len(Feeding(Classification()).batches(whole, batch_size=60, device="cpu")) == 1


def test_checkpoint_whose_folder_is_gone_asks_for_another(folder, texts, tmp_path):
    call("--model", f"hf:{folder}", "--data", f"text:{texts}", "--epochs", 1, "--out", tmp_path / "run")
    checkpoint = load_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
    moved = {**checkpoint.metadata, "model": "hf:/no/such/folder"}
    with pytest.raises(Exception, match=r"belongs to hf:/no/such/folder.*--model hf:DIR"):
        restore_model(type(checkpoint)(checkpoint.path, checkpoint.state, moved, ""))
    options = {"checkpoint": str(checkpoint.path), "model": f"hf:{folder}", "data": f"text:{texts}"}
    inputs = load_inputs(SimulateOptions(**options))
    assert torch.equal(inputs.model.classifier.weight, checkpoint.state["classifier.weight"])
