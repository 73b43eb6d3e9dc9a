"""Every task but the first two, against an independent definition, and the forms of batches and outputs."""

import math
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import spearmanr
from sklearn import metrics as reference
from torch import nn
from torchmetrics.regression import MeanAbsoluteError, MeanAbsolutePercentageError
from torchmetrics.text import BLEUScore

from analog_samson import load_preset, simulate_drift
from analog_samson.errors import DataError, OptionError
from analog_samson.tasks.batch import split_batch
from analog_samson.tasks.catalogue import guess_task, make_task, register_task, task_names
from analog_samson.tasks.classification import Classification
from analog_samson.tasks.dense import MultiLabel, Segmentation
from analog_samson.tasks.measured import from_torchmetrics
from analog_samson.tasks.pairs import SentenceSimilarity, SpeakerVerification
from analog_samson.tasks.question_answering import QuestionAnswering
from analog_samson.tasks.regression import Regression
from analog_samson.tasks.scoring import score
from analog_samson.tasks.speech import SpeechEnhancement, SpeechRecognition
from analog_samson.tasks.text import LanguageModeling, TokenClassification
from analog_samson.tasks.whole import from_callable

DRAW = torch.Generator().manual_seed(0)


class Given(nn.Module):
    """Answers sample indices with rows of a table, whatever else it is given."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self, x, **other):
        return self.rows[x]


def batches_of(targets, size=7):
    return [(torch.arange(i, min(i + size, len(targets))), targets[i : i + size]) for i in range(0, len(targets), size)]


def randn(*shape):
    return torch.randn(*shape, generator=DRAW)


def randint(high, *shape):
    return torch.randint(high, shape, generator=DRAW)


def test_language_modeling_counts_every_token_alike():
    logits, ids = randn(10, 6, 11), randint(11, 10, 6)
    ids[0, 4:] = -100
    values = score(Given(logits), batches_of(ids), LanguageModeling(bytes_per_token=2.0)).values
    scores, truth = logits[:, :-1].reshape(-1, 11).log_softmax(1), ids[:, 1:].reshape(-1)
    kept = truth != -100
    loss = -scores[kept, truth[kept]].double().mean().item()
    assert values["loss"] == pytest.approx(loss, rel=1e-6)
    assert values["perplexity"] == pytest.approx(math.exp(loss), rel=1e-6)
    assert values["bits_per_byte"] == pytest.approx(loss / math.log(2) / 2, rel=1e-6)
    right = 100 * (scores.argmax(1) == truth)[kept].double().mean().item()
    assert values["accuracy_percent"] == pytest.approx(right)
    assert next(iter(score(Given(logits), batches_of(ids), LanguageModeling(headline_metric="perplexity")).values)) == (
        "perplexity"
    )


def test_language_modeling_without_shift_takes_aligned_targets():
    logits, targets = randn(4, 5, 9), randint(9, 4, 5)
    values = score(Given(logits), batches_of(targets), LanguageModeling(shift=False)).values
    expected = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).item()
    assert values["loss"] == pytest.approx(expected, rel=1e-5)


def test_padding_of_a_batch_without_labels_is_not_predicted():
    task, ids = LanguageModeling(), randint(9, 2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    inputs, targets = task.prepare({"input_ids": ids, "attention_mask": mask})
    assert list(inputs) == ["input_ids", "attention_mask"]
    assert targets[1].tolist() == [*ids[1, :2].tolist(), -100, -100, -100]


@pytest.mark.parametrize("outside", [None, 0])
def test_token_classification_equals_scikit_learn(outside):
    logits, labels = randn(9, 8, 4), randint(4, 9, 8)
    labels[:, 6:] = -100
    values = score(Given(logits), batches_of(labels), TokenClassification(classes=4, outside=outside)).values
    kept = labels != -100
    truth, answers = labels[kept].numpy(), logits.argmax(2)[kept].numpy()
    average = {"average": "macro"} if outside is None else {"average": "micro", "labels": [1, 2, 3]}
    assert values["f1_percent"] == pytest.approx(100 * reference.f1_score(truth, answers, **average), abs=1e-3)
    assert values["accuracy_percent"] == pytest.approx(100 * reference.accuracy_score(truth, answers), abs=1e-3)


def test_segmentation_equals_scikit_learn_and_resizes_logits():
    logits, labels = randn(5, 3, 4, 6), randint(3, 5, 8, 12)
    labels[:, 0] = 255
    values = score(Given(logits), batches_of(labels, 2), Segmentation(classes=3)).values
    resized = nn.functional.interpolate(logits, size=(8, 12), mode="bilinear")
    kept = labels != 255
    truth, answers = labels[kept].numpy(), resized.argmax(1)[kept].numpy()
    assert values["miou_percent"] == pytest.approx(
        100 * reference.jaccard_score(truth, answers, average="macro"), abs=1e-3
    )
    assert values["accuracy_percent"] == pytest.approx(100 * reference.accuracy_score(truth, answers), abs=1e-3)


def test_multi_label_equals_scikit_learn():
    logits, targets = randn(40, 5), randint(2, 40, 5)
    values = score(Given(logits), batches_of(targets), MultiLabel(classes=5)).values
    expected = reference.average_precision_score(targets.numpy(), logits.numpy(), average="macro")
    assert values["map_percent"] == pytest.approx(100 * expected, abs=1e-3)


class Embedder(nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self, x):
        return self.rows[x]


def test_sentence_similarity_equals_scipy():
    rows, scores = randn(30, 8), torch.rand(15, generator=DRAW) * 5
    pairs = [((torch.arange(i, i + 5), torch.arange(15 + i, 20 + i)), scores[i : i + 5]) for i in (0, 5, 10)]
    value = score(Embedder(rows), pairs, SentenceSimilarity()).values["spearman_percent"]
    cosines = nn.functional.cosine_similarity(rows[:15], rows[15:], dim=1)
    assert value == pytest.approx(100 * spearmanr(cosines.numpy(), scores.numpy())[0], abs=1e-3)


def test_equal_error_rate_is_where_both_errors_are_equally_frequent():
    rows, same = randn(200, 3), randint(2, 100)
    pairs = [((torch.arange(100), torch.arange(100, 200)), same)]
    value = score(Embedder(rows), pairs, SpeakerVerification()).values["eer_percent"]
    cosines = nn.functional.cosine_similarity(rows[:100], rows[100:], dim=1).numpy()
    false_alarm, hit, _ = reference.roc_curve(same.numpy(), cosines, drop_intermediate=False)
    crossing = brentq(lambda x: 1 - x - np.interp(x, false_alarm, hit), 0, 1)
    assert value == pytest.approx(100 * crossing, abs=1.5)  # torchmetrics takes the nearest threshold


def test_speech_enhancement_is_the_scale_invariant_ratio():
    clean = randn(6, 400)
    noisy = clean + 0.1 * randn(6, 400)
    task = SpeechEnhancement()
    value = score(Given(3 * noisy), batches_of(clean, 4), task).values["si_sdr_db"]
    heard, true = (x.double() - x.double().mean(1, keepdim=True) for x in (noisy, clean))
    target = (heard * true).sum(1, keepdim=True) / true.square().sum(1, keepdim=True) * true
    expected = 10 * (target.square().sum(1) / (heard - target).square().sum(1)).log10().mean()
    assert value == pytest.approx(float(expected), abs=1e-3)
    assert task.loss(noisy, (None, clean)).item() == pytest.approx(-float(expected), abs=1e-3)
    assert task.sample_values(noisy, (None, clean))["si_sdr_db"].shape == (6,)


def test_speech_recognition_decodes_and_counts_words():
    task = SpeechRecognition(symbols=("_", "a", "b", "|"))
    paths = torch.tensor([[1, 1, 0, 3, 2], [2, 0, 2, 3, 1]])  # "a b", "bb a"
    logits = nn.functional.one_hot(paths, 4).float() * 9
    data = [(torch.arange(2), ["a b", "b a"])]
    assert score(Given(logits), data, task).values["wer_percent"] == pytest.approx(25.0)
    assert task.loss(logits, (None, ["a b", "b a"])).item() > 0
    with pytest.raises(DataError, match="stands for z"):
        task.loss(logits, (None, ["z", "a"]))


def test_question_answering_finds_spans_in_the_context():
    class Answering(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, input_ids):
            start, end = torch.zeros(2, len(input_ids), 5), None
            start, end = start
            start[:, 2], end[:, 3] = 5.0, 5.0
            start[:, 0] = 9.0  # a token of the question
            return SimpleNamespace(start_logits=start, end_logits=end)

    offsets = [None, None, (0, 4), (5, 10), (11, 15)]
    batch = {
        "input_ids": torch.zeros(2, 5, dtype=torch.long),
        "context": ["Mary likes fish", "John hates fish"],
        "offsets": [offsets, offsets],
        "answers": [["Mary likes"], ["hates"]],
    }
    values = score(Answering(), [batch], QuestionAnswering()).values
    assert values["exact_match_percent"] == pytest.approx(50.0)
    assert values["f1_percent"] == pytest.approx(50 + 50 * 2 / 3)


def test_any_form_of_batch_and_output_is_classified():
    logits, labels = randn(6, 4), randint(4, 6)
    named = namedtuple("Batch", ["x", "labels"])
    expected = score(Given(logits), [(torch.arange(6), labels)], Classification()).values

    class Wrapped(Given):
        def __init__(self, rows, wrap):
            super().__init__(rows)
            self.wrap = wrap

        def forward(self, x, mask=None):
            return self.wrap(self.rows[x])

    forms = [
        {"x": torch.arange(6), "labels": labels},
        named(torch.arange(6), labels),
        [torch.arange(6), None, labels],
        {"x": torch.arange(6), "mask": torch.ones(6), "label": labels},
    ]
    wraps = [lambda y: y, lambda y: (y, None), lambda y: {"logits": y}, lambda y: SimpleNamespace(logits=y)]
    for form, wrap in zip(forms, wraps, strict=True):
        assert score(Wrapped(logits, wrap), [form], Classification()).values == expected


def test_a_batch_without_targets_is_refused():
    for batch, words in [({"input_ids": 1}, "input_ids"), (torch.zeros(2), "Tensor"), ((1,), "tuple")]:
        with pytest.raises(DataError, match=words):
            split_batch(batch)


def test_torchmetrics_give_name_direction_and_bounds():
    task = from_torchmetrics({"mae": MeanAbsoluteError(), "mape": MeanAbsolutePercentageError()}, units={"mae": "mm"})
    assert [(m.name, m.unit, m.higher_is_better, m.lower) for m in task.metrics] == [
        ("mae", "mm", False, 0.0),
        ("mape", "", False, 0.0),
    ]
    output, target = randn(20), randn(20)
    values = score(Given(output), batches_of(target), task).values
    assert values["mae"] == pytest.approx((output - target).abs().mean().item(), rel=1e-5)
    assert score(Given(output), batches_of(target), task).values == values  # nothing is left from the first pass
    with pytest.raises(OptionError, match="needs a loss"):
        task.loss(output, (None, target))
    with pytest.raises(DataError, match="torchmetrics refuses"):
        score(Given(output), [(torch.arange(3), target[:2])], task)
    assert from_torchmetrics(BLEUScore()).headline.higher_is_better


def test_a_function_scores_a_whole_network():
    calls = []

    def evaluate(model):
        calls.append(model.training)
        return {"norm": float(model.weight.norm()), "other": 1.0}

    model, task = nn.Linear(3, 2), from_callable(evaluate, "norm")
    model.train()
    assert score(model, [], task).values == {"norm": pytest.approx(model.weight.norm().item())}
    assert calls == [False]
    with pytest.raises(DataError, match="missing bleu"):
        score(model, [], from_callable(evaluate, "bleu"))
    with pytest.raises(OptionError, match="has no loss"):
        task.loss(None, None)


def test_every_task_of_the_catalogue_is_made_by_its_name():
    needed = {
        "multi_label": {"classes": 3},
        "segmentation": {"classes": 3},
        "token_classification": {"classes": 3},
        "speech_recognition": {"symbols": ("_", "a")},
    }
    for name in task_names():
        task = make_task(name, needed.get(name))
        assert task.name == name
        assert task.headline.name
    with pytest.raises(OptionError, match="classes"):
        make_task("segmentation")
    with pytest.raises(OptionError, match="regression"):
        make_task("regresion")
    with pytest.raises(OptionError, match="taken"):
        register_task("regression", Regression)


def test_the_class_of_a_network_names_its_task():
    kinds = {"LlamaForCausalLM": "language_modeling", "BertForTokenClassification": "token_classification"}
    for kind, task in kinds.items():
        assert guess_task(type(kind, (nn.Module,), {})()) == task
    assert guess_task(nn.Linear(1, 1)) == "classification"


@pytest.mark.parametrize(
    ("task", "rows", "targets", "words"),
    [
        (LanguageModeling(), (3, 4, 5), torch.full((3, 4), 7), ["label 7", "0 to 4"]),
        (LanguageModeling(), (3, 4, 5), torch.rand(3, 4), ["float32", "whole numbers"]),
        (LanguageModeling(), (3, 4), torch.zeros(3, 4, dtype=torch.long), ["(3, 4)", "(N, T, classes)"]),
        (TokenClassification(classes=3), (3, 4, 5), torch.zeros(3, 4, dtype=torch.long), ["5 outputs", "3 classes"]),
        (Segmentation(classes=3), (3, 3, 2, 2), torch.full((3, 2, 2), 4), ["label 4", "0 to 2"]),
        (
            Segmentation(classes=3),
            (3, 5, 2, 2),
            torch.zeros(3, 2, 2, dtype=torch.long),
            ["(3, 5, 2, 2)", "(N, 3, H, W)"],
        ),
        (MultiLabel(classes=3), (3, 3), torch.full((3, 3), 2), ["0 and 1"]),
        (MultiLabel(classes=3), (3, 2), torch.zeros(3, 3), ["(3, 2)", "(3, 3)"]),
        (SpeechRecognition(symbols=("_", "a")), (3, 4, 2), torch.zeros(3), ["list of texts"]),
        (SpeechRecognition(symbols=("_", "a")), (3, 4, 3), ["a", "a", "a"], ["(3, 4, 3)", "(N, T, 2)"]),
        (SentenceSimilarity(), (3, 4), torch.zeros(3), ["(first, second)"]),
        (SpeechEnhancement(), (3, 9), torch.zeros(3, 8), ["(3, 9)", "(3, 8)"]),
        (QuestionAnswering(), (3, 9), torch.zeros(3), ["context, offsets, answers"]),
    ],
)
def test_what_does_not_fit_is_refused_with_shapes(task, rows, targets, words):
    with pytest.raises(DataError) as caught:
        score(Given(torch.zeros(rows)), [(torch.arange(3), targets)], task)
    assert all(word in str(caught.value) for word in words), caught.value


class TinyLanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(11, 8), nn.Linear(8, 8), nn.Linear(8, 11)

    def forward(self, input_ids, attention_mask=None):
        return SimpleNamespace(logits=self.head(self.mix(self.embed(input_ids)).tanh()))


def test_a_language_model_with_mappings_is_simulated_over_drift():
    model, ids = TinyLanguageModel(), randint(11, 8, 6)
    data = [{"input_ids": ids[:4]}, {"input_ids": ids[4:], "attention_mask": torch.ones(4, 6, dtype=torch.long)}]
    options = {"times": [1.0, 3e7], "instances": 2, "seed": 0, "task": LanguageModeling()}
    frame = simulate_drift(model, load_preset("pcm_nandakumar_2019"), data, **options).frame()
    assert set(frame.columns) >= {"loss", "perplexity", "accuracy_percent"}
    assert frame.loss.between(1, 5).all()
    assert frame[frame.stage == "drift"].loss.nunique() == 4
    again = simulate_drift(model, load_preset("pcm_nandakumar_2019"), data, **options).frame()
    assert (frame.loss == again.loss).all()
    with_converters = simulate_drift(model, load_preset("pcm_rasch_2023"), data, calibration=data, **options).frame()
    assert (with_converters.loss != frame.loss).any()


def test_a_function_shows_the_plan_how_the_network_uses_its_weights():
    """A weight that no layer owns is planned by its use, which the function's own forward shows."""

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.matrix = nn.Parameter(randn(6, 4))

        def forward(self, x):
            return x @ self.matrix

    model, x = Own(), randn(5, 6)
    task = from_callable(lambda network: {"first": float(network(x)[0, 0])}, "first")
    frame = simulate_drift(
        model, load_preset("pcm_nandakumar_2019"), [], times=[1.0], instances=1, seed=0, task=task
    ).frame()
    digital, chip = frame["first"]
    assert digital == pytest.approx(model(x)[0, 0].item())
    assert chip != digital
