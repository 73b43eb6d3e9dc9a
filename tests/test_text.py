"""Texts from files, their batches, and networks and tokenizers of Hugging Face."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from helpers.words import Words
from torch import nn

from analog_samson import load_preset, simulate_drift
from analog_samson.data.feeding import Feeding, labelled_as_trained
from analog_samson.data.text_files import read_texts
from analog_samson.data.text_set import TextBatches, TokenBlocks
from analog_samson.errors import DataError, ModelError
from analog_samson.models.huggingface import (
    SentenceEmbedder,
    load_huggingface,
    load_tokenizer,
    parse_huggingface,
    weights_fingerprint,
)
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.pairs import SentenceSimilarity
from analog_samson.tasks.scoring import score
from analog_samson.tasks.text import LanguageModeling

ROWS = [("a cat sat", "pos"), ("a dog ran far away", "neg"), ("the cat ran", "pos"), ("dog", "neg")]


@pytest.fixture
def table(tmp_path):
    def write(kind):
        frame, path = pd.DataFrame(ROWS, columns=["text", "label"]), tmp_path / f"texts.{kind}"
        {
            "csv": lambda: frame.to_csv(path, index=False),
            "tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
            "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
            "json": lambda: frame.to_json(path, orient="records"),
        }[kind]()
        return path

    return write


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json"])
def test_tables_of_every_kind_give_the_same_texts(table, kind):
    found = read_texts(table(kind), {})
    assert list(found.texts) == [text for text, _ in ROWS]
    assert found.classes == ("neg", "pos")
    assert found.targets.tolist() == [1, 0, 1, 0]
    assert found.fingerprint == read_texts(table("csv"), {"text": "text"}).fingerprint
    assert found.take(2).fingerprint != found.fingerprint


def test_pairs_without_a_header_are_read_by_column_number(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text('"a, b",c,2.5\nd,e,4\n')
    found = read_texts(path, {"text": "0", "second": "1", "score": "2", "header": "no"}, pairs=True)
    assert (found.texts, found.second, found.targets.tolist()) == (("a, b", "d"), ("c", "e"), [2.5, 4.0])


def test_batches_hold_every_text_once_with_its_label(table):
    found = read_texts(table("csv"), {})
    batches = list(TextBatches(found, Words(), batch_size=3, device="cpu"))
    assert [len(batch["labels"]) for batch in batches] == [3, 1]
    pairs = {
        (int(mask.sum()), int(label))
        for batch in batches
        for mask, label in zip(batch["attention_mask"], batch["labels"], strict=True)
    }
    assert pairs == {(3, 1), (5, 0), (1, 0)}
    assert all((batch["input_ids"] == 0).equal(batch["attention_mask"] == 0) for batch in batches)


def test_running_text_is_cut_into_whole_blocks():
    blocks = TokenBlocks("a b c d e f g", Words(), length=3, batch_size=1, device="cpu", name="t")
    assert [batch["input_ids"].shape for batch in blocks] == [(1, 3), (1, 3)]
    assert blocks.bytes_per_token == pytest.approx(13 / 7)
    with pytest.raises(DataError, match="7 tokens; one block takes 8"):
        TokenBlocks("a b c d e f g", Words(), length=8, batch_size=1, device="cpu", name="t")


@pytest.mark.parametrize(
    ("content", "options", "pairs", "words"),
    [
        ("text,label\na,1\n", {"text": "txt"}, False, ["txt", "text, label"]),
        ("x,label\na,1\n", {}, False, ["text=COLUMN", "x, label"]),
        ("text,label\n ,1\n", {}, False, ["text 0 is empty"]),
        ("text,label\n", {}, False, ["no texts"]),
        ("text,second,score\na,b,high\n", {}, True, ["row 0", "'score'", "'high'"]),
        ("text,label\na,1\n", {"labels": "label"}, False, ["unknown option 'labels'", "label"]),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, content, options, pairs, words):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_texts(path, options, pairs=pairs)
    assert all(word in str(caught.value) for word in words), caught.value
    with pytest.raises(DataError, match="no such file"):
        read_texts(tmp_path / "none.csv", {})


transformers = pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny BERT of random weights with a tokenizer of whole words, as `save_pretrained` writes them."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "a", "cat", "dog", "sat", "ran", "far", "away", "the"]
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(path)
    config = transformers.BertConfig(
        vocab_size=10, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, num_labels=2
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertForSequenceClassification(config).save_pretrained(path)
    return path


def test_folder_gives_the_class_that_was_stored_with_its_weights(folder):
    spec = parse_huggingface(f"hf:{folder}")
    model = load_huggingface(spec)
    assert type(model).__name__ == "BertForSequenceClassification"
    assert not model.training
    assert len(weights_fingerprint(spec)) == 64


def test_classifier_from_a_folder_is_simulated_on_texts(folder, table):
    spec = parse_huggingface(f"hf:{folder}")
    model, found = load_huggingface(spec), read_texts(table("csv"), {})
    data = TextBatches(found, load_tokenizer(spec), batch_size=2, device="cpu")
    result = simulate_drift(model, load_preset("ideal"), data, times=[1.0], instances=1, seed=0, task=Classification())
    frame = result.frame()
    assert frame.loss.iloc[1] == pytest.approx(frame.loss.iloc[0], abs=1e-4)


def test_encoder_without_a_pooler_embeds_sentences(folder, tmp_path):
    model = load_huggingface(parse_huggingface(f"hf:{folder}"))
    model.bert.save_pretrained(tmp_path)
    state = {k: v for k, v in model.bert.state_dict().items() if not k.startswith("pooler")}
    from safetensors.torch import save_file

    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    encoder = load_huggingface(parse_huggingface(f"hf:{tmp_path},class=AutoModel"))
    assert encoder.pooler is None
    ids, mask = torch.tensor([[2, 3, 0]]), torch.tensor([[1, 1, 0]])
    embedder = SentenceEmbedder(encoder)
    expected = encoder(ids, mask).last_hidden_state[0, :2].mean(0)
    assert torch.allclose(embedder(ids, mask)[0], expected / expected.norm(), atol=1e-6)
    assert score(embedder, [(({"input_ids": ids}, {"input_ids": ids}), torch.ones(1))] * 2, SentenceSimilarity())


def test_language_model_of_a_folder_is_scored(folder, tmp_path):
    config = transformers.GPT2Config(vocab_size=12, n_positions=16, n_embd=16, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    model = load_huggingface(parse_huggingface(f"hf:{tmp_path}"))
    values = score(model, [{"input_ids": torch.randint(12, (3, 8))}], LanguageModeling()).values
    assert values["loss"] == pytest.approx(torch.tensor(12.0).log().item(), abs=0.5)


def test_all_lines_of_a_running_text_count_and_blocks_fit_the_network(folder, tmp_path, capsys):
    """Two lines hold less than one block of 16 tokens, and the tokenizer states no maximum."""
    from analog_samson.cli.main import main
    from analog_samson.results.store import open_run

    network, text = tmp_path / "network", tmp_path / "long.txt"
    shutil.copytree(folder, network)
    config = transformers.GPT2Config(vocab_size=10, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(network)
    text.write_text("the cat sat far away\n" * 40)
    arguments = ["simulate", "--model", f"hf:{network}", "--data", f"text:{text}", "--times", "1s", "--no-html"]
    arguments += ["--instances", "1", "--preset", "ideal", "--sigmas", "none"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0, capsys.readouterr().err
    with open_run(tmp_path / "run") as run:
        assert run.meta("data")["count"] == 40
    lines, feeding = (
        read_texts(text, {}),
        Feeding(LanguageModeling(), load_tokenizer(parse_huggingface(f"hf:{network}")), 16),
    )
    batches = list(feeding.batches(lines, batch_size=5, device=torch.device("cpu")))
    assert sum(len(batch["input_ids"]) for batch in batches) == 40 * 5 // 16
    assert {batch["input_ids"].shape[1] for batch in batches} == {16}
    assert len(feeding.first(lines, 2)) == 8, "lines, which hold 2 blocks"
    assert main([*arguments, "--limit", "2", "--out", str(tmp_path / "short")]) == 1
    assert "10 tokens; one block takes 16" in capsys.readouterr().err


def test_folder_that_is_no_network_is_refused(folder, tmp_path):
    with pytest.raises(ModelError, match=r"config\.json"):
        load_huggingface(parse_huggingface(f"hf:{tmp_path}"))
    with pytest.raises(ModelError, match="no weights for cls"):
        load_huggingface(parse_huggingface(f"hf:{folder},class=BertForMaskedLM"))
    with pytest.raises(ModelError, match="AutoModelForMaskedLM"):
        load_huggingface(parse_huggingface(f"hf:{folder},class=AutoModelForMaskedLN"))
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelError, match="tokenizer"):
        load_tokenizer(parse_huggingface(f"hf:{bare}"))
    own = json.loads((Path(bare) / "config.json").read_text()) | {"auto_map": {"AutoModel": "code.Model"}}
    (bare / "config.json").write_text(json.dumps(own))
    with pytest.raises(ModelError, match="code of its own"):
        load_huggingface(parse_huggingface(f"hf:{bare}"))


def test_command_line_simulates_a_folder_on_texts(folder, table, tmp_path, capsys):
    from analog_samson.cli.main import main
    from analog_samson.results.store import open_run

    data = table("csv")
    common = ["simulate", "--model", f"hf:{folder}", "--data", f"text:{data}", "--times", "1d", "--instances", "2"]
    run = tmp_path / "run"
    assert main([*common, "--sigmas", "0.1", "--error-budget", "--out", str(run)]) == 0
    shown = capsys.readouterr()
    assert "task classification" in shown.err
    assert "accuracy" in shown.out
    with open_run(run) as found:
        assert found.options["checkpoint"] == f"hf:{folder}"
        assert found.meta("data")["count"] == len(ROWS)
        assert found.meta("checkpoint")["model"] == "BertForSequenceClassification"
        assert {record.stage for record in found.records()} == {"digital", "drift", "gaussian"}
    assert "accuracy" in (run / "report.html").read_text()
    assert main([*common, "--sigmas", "0.1", "--error-budget", "--out", str(run)]) == 0  # finds everything done


def test_command_line_calibrates_on_other_texts_only(folder, table, tmp_path, capsys):
    from analog_samson.cli.main import main

    data, other = table("csv"), tmp_path / "other.csv"
    other.write_text("text,label\nfar away ran,neg\ndog cat,pos\ncat far,pos\nran sat,neg\n")
    common = ["simulate", "--model", f"hf:{folder}", "--data", f"text:{data}", "--times", "1d", "--instances", "1"]
    common += ["--preset", "pcm_rasch_2023", "--sigmas", "none", "--no-html"]
    assert main([*common, "--out", str(tmp_path / "a")]) == 1
    assert "--calibration-data text:FILE" in capsys.readouterr().err
    assert main([*common, "--calibration-data", f"text:{data}", "--out", str(tmp_path / "a")]) == 1
    assert "must not be tested on" in capsys.readouterr().err
    calibrated = ["--calibration-data", f"text:{other}", "--calibrate", "affine"]
    assert main([*common, *calibrated, "--out", str(tmp_path / "a")]) == 0
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "hf:{folder}", "--data", "digits"], ["networks of Hugging Face", "text"]),
        (["--data", "text:{data}"], ["--checkpoint", "hf:DIR"]),
        (["--model", "hf:/no/such", "--data", "text:{data}"], ["config.json"]),
        (["--model", "hf:{folder}", "--data", "text:{data}", "--normalization", "unit"], ["normalization"]),
        (["--model", "hf:{folder}", "--data", "text:{data}", "--task", "segmentation"], ["segmentation"]),
    ],
)
def test_what_does_not_go_together_is_refused(folder, table, tmp_path, capsys, options, words):
    from analog_samson.cli.main import main

    filled = [option.format(folder=folder, data=table("csv")) for option in options]
    assert main(["simulate", *filled, "--out", str(tmp_path / "run")]) in (1, 2)
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("named", [{"POS": 0, "NEG": 1}, {"neg": 0, "pos": 1}, {"LABEL_0": 0, "LABEL_1": 1}, {}])
def test_labels_get_the_numbers_that_the_network_gives_to_their_names(table, named):
    found = read_texts(table("csv"), {})
    model = nn.Identity()
    model.config = SimpleNamespace(label2id=named)
    labels = labelled_as_trained(found, model).targets.tolist()
    assert labels == ([0, 1, 0, 1] if "POS" in named else [1, 0, 1, 0])


def test_classes_that_the_network_calls_otherwise_are_refused(table):
    model = nn.Identity()
    model.config = SimpleNamespace(label2id={"good": 0, "bad": 1})
    with pytest.raises(DataError, match=r"neg, pos, the network good, bad"):
        labelled_as_trained(read_texts(table("csv"), {}), model)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a cat,0", "a dog,1", "cat,2"], ["2 outputs", "3 classes"]),
        (["a cat " * 300 + ",0", "dog,1"], ["tokens, the network takes", "tokenizer_config.json"]),
        (["a cat strange other,0", "dog,1"], ["token ids from", "the network takes 0 to", "tokenizer"]),
    ],
    ids=["labels outside the head", "sequences too long", "another vocabulary"],
)
def test_texts_that_do_not_fit_the_network_are_refused(folder, tmp_path, capsys, rows, words):
    from analog_samson.cli.main import main

    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    network = tmp_path / "network"
    shutil.copytree(folder, network)
    if "tokens" in words[0]:
        settings = json.loads((network / "tokenizer_config.json").read_text()) | {"model_max_length": 1000}
        (network / "tokenizer_config.json").write_text(json.dumps(settings))
    if "token ids" in words[0]:
        tokenizer = json.loads((network / "tokenizer.json").read_text())
        vocabulary = tokenizer["model"]["vocab"]
        vocabulary |= {"strange": 500, "other": 501}
        (network / "tokenizer.json").write_text(json.dumps(tokenizer))
    arguments = ["--model", f"hf:{network}", "--data", f"text:{tmp_path / 'texts.csv'}", "--out", str(tmp_path / "run")]
    assert main(["simulate", *arguments]) == 1
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()
