"""Texts of files that are too large for memory: the same samples and batches as in memory."""

import json

import pytest
import torch
from helpers.words import Words

from analog_samson.data.feeding import Feeding, refuse_shared
from analog_samson.data.samples import open_samples
from analog_samson.data.text_lines import LineTexts
from analog_samson.data.text_set import TextBatches
from analog_samson.errors import DataError
from analog_samson.runtime import size_limit
from analog_samson.tasks.text import LanguageModeling

WORDS = ["a", "cat", "sat", "dög", "ran\u2028far", "x\x0cy", "\U0001f600", "\\", '"quoted"']


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(size_limit, "KEPT_IN_MEMORY", 0)


def sentence(number: int) -> str:
    return " ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, 2 + number % 5)) + f" {number}"


def write_jsonl(path, labels, **more) -> None:
    rows = [
        {"text": sentence(number), "label": label} | {name: column[number] for name, column in more.items()}
        for number, label in enumerate(labels)
    ]
    lines = [json.dumps(row, ensure_ascii=number % 2 == 0) for number, row in enumerate(rows)]
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def both(spec, monkeypatch):
    stored = open_samples(spec)
    monkeypatch.setattr(size_limit, "KEPT_IN_MEMORY", 2**30)
    memory = open_samples(spec)
    assert isinstance(stored.texts, LineTexts)
    assert isinstance(memory.texts, tuple)
    return stored, memory


def compare(stored, memory) -> None:
    places = torch.tensor([9, 0, 4])
    for one, other in ((stored, memory), (stored.take(5), memory.take(5)), (stored.pick(places), memory.pick(places))):
        assert list(one.texts) == list(other.texts)
        assert one.fingerprint == other.fingerprint
        batches = [TextBatches(each, Words(), batch_size=3, device="cpu") for each in (one, other)]
        for first, second in zip(*batches, strict=True):
            for key in second:
                assert torch.equal(first[key], second[key])
    assert stored.texts[2] == memory.texts[2]
    assert stored.classes == memory.classes


LABELS = {
    "names": ["pos", "neg", "pos"] * 4,
    "numbers": [0, 2, 1] * 4,
    "quoted": ["0", "2", "1"] * 4,
    "whole": [0.0, 2.0, 1.0] * 4,
    "flags": [True, False, True] * 4,
}


@pytest.mark.parametrize("kind", LABELS)
def test_json_lines_in_a_file_are_those_in_memory(kind, tmp_path, little_memory, monkeypatch):
    write_jsonl(tmp_path / "a.jsonl", LABELS[kind])
    stored, memory = both(f"text:{tmp_path / 'a.jsonl'}", monkeypatch)
    compare(stored, memory)
    assert torch.equal(stored.targets, memory.targets)


def test_plain_text_in_a_file_is_that_in_memory(tmp_path, little_memory, monkeypatch):
    text = "".join(sentence(number) + ("\n", "\r\n", "\r", "\n \n", "\x0b")[number % 5] for number in range(20))
    for name, encoding in (("utf", "utf-8"), ("latin", "latin-1")):
        (tmp_path / name).write_bytes(text.encode(encoding, "replace") + "\xe9".encode(encoding))
        compare(*both(f"text:{tmp_path / name}", monkeypatch))
        monkeypatch.setattr(size_limit, "KEPT_IN_MEMORY", 0)


def test_pairs_in_a_file_are_those_in_memory(tmp_path, little_memory, monkeypatch):
    second, score = [sentence(number + 3) for number in range(12)], [number / 4 for number in range(12)]
    write_jsonl(tmp_path / "a.jsonl", range(12), second=second, score=score)
    stored, memory = both(f"pairs:{tmp_path / 'a.jsonl'}", monkeypatch)
    assert torch.equal(stored.targets, memory.targets)
    for joined in (False, True):
        batches = [TextBatches(each, Words(), batch_size=5, device="cpu", joined=joined) for each in (stored, memory)]
        assert repr(list(batches[0])) == repr(list(batches[1]))
    with pytest.raises(DataError, match=r"a\.jsonl: 12 of its samples are in a\.jsonl too"):
        refuse_shared(stored, memory)


def test_texts_in_a_file_are_tokenized_again_in_parts(tmp_path, little_memory):
    write_jsonl(tmp_path / "a.jsonl", ["pos", "neg"] * 6)
    sizes = []

    class Counted(Words):
        def __call__(self, texts, seconds=None, **options):
            sizes.append(len(texts))
            return super().__call__(texts, seconds, **options)

    batches = TextBatches(open_samples(f"text:{tmp_path / 'a.jsonl'}"), Counted(), batch_size=5, device="cpu")
    assert sizes == [12]
    for _ in range(2):
        list(batches)
    assert sizes == [12, *(5, 5, 2) * 2]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"text": "a", "label": 1}\n{"text": "b", "lab', "row 1: not JSON"),
        ('{"text": "a", "label": 1}\n[1]\n', "row 1: expected a JSON object, got a list"),
        ('{"text": "a", "label": 1}\n{"text": 5, "label": 1}\n', "row 1, column 'text': expected a text, got 5"),
        ('{"text": "a", "label": 1}\n{"text": "b"}\n', "row 1, column 'label': expected a label, got None"),
        ('{"text": "a", "label": 1}\n{"text": " ", "label": 1}\n', "text 1 is empty"),
        ('{"x": "a"}\n', "no column for text; it has x"),
        ("[" * 100_000, "row 0: not JSON"),
        ("\n", "no column for text"),
    ],
)
def test_faulty_lines_are_named(content, expected, tmp_path, little_memory):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(DataError) as caught:
        open_samples(f"text:{tmp_path / 'a.jsonl'}")
    assert expected in str(caught.value)


def test_line_beyond_memory_and_file_that_changes_are_refused(tmp_path, little_memory, monkeypatch):
    path = tmp_path / "a.jsonl"
    write_jsonl(path, ["pos", "neg"] * 6)
    found = open_samples(f"text:{path}")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"a\.jsonl: changed since it was opened"):
        list(found.texts)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.jsonl: texts cannot be read"):
        found.fingerprint  # noqa: B018
    monkeypatch.setenv(size_limit.VARIABLE, str(50 / 2**30))
    for name, expected in (("a.txt", "a line from byte 2 on needs"), ("a.csv", r"write it as JSON lines")):
        (tmp_path / name).write_text("a\n" + "x" * 100)
        with pytest.raises(DataError, match=expected):
            open_samples(f"text:{tmp_path / name}")


def test_running_text_that_is_tokenized_in_one_piece_has_to_fit(tmp_path, little_memory, monkeypatch):
    (tmp_path / "a.txt").write_text("a cat ran\n" * 100)
    found = open_samples(f"text:{tmp_path / 'a.txt'}")
    feeding = Feeding(LanguageModeling(), Words())
    layout = {"batch_size": 2, "device": torch.device("cpu")}
    monkeypatch.setenv(size_limit.VARIABLE, str(5000 / 2**30))
    with pytest.raises(DataError, match=r"tokenizing it in one piece needs .*--limit N"):
        feeding.batches(found, **layout)
    monkeypatch.setattr(Words, "model_max_length", 8)
    (batch,) = feeding.batches(found.take(6), **layout)
    assert batch["input_ids"].shape == (2, 8), "of 18 tokens"
