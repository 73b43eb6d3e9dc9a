"""Accuracy and loss: against the obvious formula, against real networks, and on data that does not fit."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from analog_samson.data import Normalization, choose_normalization, image_set, open_data
from analog_samson.data.batches import Batches, Normalizer
from analog_samson.errors import DataError, OptionError, PlanError
from analog_samson.models.build import build_model
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.restore import restore_model
from analog_samson.runtime.eval_mode import eval_mode
from analog_samson.tasks.evaluation import Evaluation, evaluate

HALF = Normalization((0.5,), (0.5,))


def made_set(count=10, channels=3, classes=10, size=8):
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (count, size, size, channels), dtype=np.uint8)
    return image_set(pixels, np.arange(count) % classes, name="made", where="made", num_classes=classes)


def batches(data, **options) -> Batches:
    return Batches(data, HALF, **{"batch_size": 4, "device": "cpu"} | options)


def test_normaliser_equals_the_formula_and_leaves_pixels_alone():
    data = made_set()
    before = data.images.clone()
    normalization = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    x = Normalizer(normalization, 3, device="cpu")(data.images)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (normalization.mean, normalization.std))
    torch.testing.assert_close(x.double(), (data.images.double() / 255 - mean) / std, rtol=0, atol=1e-6)
    assert x.dtype == torch.float32
    assert torch.equal(data.images, before)


@pytest.mark.parametrize("channels_last", [False, True])
def test_batches_can_be_iterated_again_and_keep_the_order(channels_last):
    data = made_set(10)
    source = batches(data, channels_last=channels_last)
    first, second = list(source), list(source)
    assert len(source) == len(first) == 3
    assert [len(y) for _, y in first] == [4, 4, 2]
    assert torch.equal(torch.cat([y for _, y in first]), data.labels)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))
    assert first[0][0].is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_evaluation_equals_the_formula_whatever_the_batch_size():
    data, model = made_set(11), build_model("digits_cnn", in_channels=3).eval()
    with torch.no_grad():
        logits = model(Normalizer(HALF, 3, device="cpu")(data.images)).double()
    loss = F.cross_entropy(logits, data.labels).item()
    accuracy = 100 * (logits.argmax(1) == data.labels).double().mean().item()
    for size in (1, 4, 11, 100):
        found = evaluate(model, batches(data, batch_size=size))
        assert found.count == 11
        assert found.loss == pytest.approx(loss, rel=1e-6)
        assert found.accuracy_percent == pytest.approx(accuracy)


def test_answer_that_is_no_number_is_never_right():
    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.sqrt()

    x = torch.eye(3)
    x[0, 1] = -1.0
    assert evaluate(Root(), [(x, torch.arange(3))]).accuracy_percent == pytest.approx(200 / 3)
    x[0] = torch.tensor([1.0, -math.inf, 0.0])  # a class that cannot be
    assert evaluate(nn.Identity(), [(x, torch.arange(3))]).accuracy_percent == 100


def test_any_iterable_of_pairs_can_be_evaluated():
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.copy_(torch.eye(2))
        model.bias.zero_()
    pairs = [(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1, 1, 0]))]
    assert evaluate(model, pairs).accuracy_percent == 75.0


def test_modes_of_all_submodules_are_restored_also_after_an_error():
    model = build_model("digits_cnn", in_channels=3).train()
    model.block1[1].eval()
    modes = [module.training for module in model.modules()]
    evaluate(model, batches(made_set()))
    assert [module.training for module in model.modules()] == modes
    with eval_mode(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(ZeroDivisionError), eval_mode(model):
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == modes


def test_evaluation_draws_nothing_and_keeps_no_graph():
    model, state = build_model("digits_cnn", in_channels=3), torch.get_rng_state()
    evaluate(model, batches(made_set()))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_bf16_changes_the_arithmetic_and_not_the_result_much():
    model, data = build_model("digits_cnn").eval(), open_data("digits", "test", limit=200)
    exact = evaluate(model, batches(data, batch_size=100))
    coarse = evaluate(model, batches(data, batch_size=100), bf16=True)
    assert coarse.loss != exact.loss
    assert coarse.loss == pytest.approx(exact.loss, rel=0.02)


@pytest.mark.parametrize(
    ("classes", "outputs", "expected"),
    [
        (10, 100, "the network has 100 outputs but the data has 10 classes; use a network with 10 outputs"),
        (10, 5, "the network has 5 outputs but the data has 10 classes"),
    ],
)
def test_class_count_that_disagrees_with_the_head_is_refused(classes, outputs, expected):
    model = build_model("digits_cnn", in_channels=3, num_classes=outputs)
    with pytest.raises(DataError, match=expected):
        evaluate(model, batches(made_set(classes=classes)))


def test_label_beyond_the_outputs_is_refused_for_any_iterable():
    with pytest.raises(DataError, match=r"label 7 in the data, the network has 2 outputs \(0 to 1\)"):
        evaluate(nn.Linear(3, 2), [(torch.zeros(1, 3), torch.tensor([7]))])


@pytest.mark.parametrize("name", ["resnet20", "resnet8_mlperf", "torchvision:resnet18"])
def test_one_channel_data_into_a_three_channel_network_is_refused(name):
    model = build_model(name, num_classes=10)
    with pytest.raises(DataError, match="images of 1 channels, the network takes 3"):
        evaluate(model, batches(made_set(channels=1, size=32)))


def test_failure_inside_a_network_is_told_with_the_size_of_the_images():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(5, 10))
    words = "cannot run on inputs of 3 x 8 x 8: mat1 and mat2 shapes cannot be multiplied"
    with pytest.raises(DataError, match=words) as caught:
        evaluate(model, batches(made_set()))
    assert isinstance(caught.value.__cause__, RuntimeError)


class _Raising(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise self.error


@pytest.mark.parametrize("error", [TypeError("no int"), KeyError("head"), AttributeError("'x'"), ZeroDivisionError()])
def test_whatever_a_forward_raises_is_told_with_its_type_and_place(error):
    told, kind = str(error) or "no reason given", type(error).__name__
    words = rf"cannot run on inputs of 3 x 8 x 8: {told} \({kind} at .*test_evaluation\.py:\d+\)"
    with pytest.raises(DataError, match=words):
        evaluate(_Raising(error), batches(made_set()))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), PlanError("mine")])
def test_what_says_enough_by_itself_is_passed_on(error):
    with pytest.raises(type(error)) as caught:
        evaluate(_Raising(error), batches(made_set()))
    assert caught.value is error


@pytest.mark.parametrize(("model", "shape"), [(nn.Identity(), r"\(4, 3, 8, 8\)"), (nn.Flatten(0), r"\(768,\)")])
def test_output_that_is_no_logits_is_refused(model, shape):
    with pytest.raises(DataError, match=rf"returns {shape} for 4 samples; expected logits"):
        evaluate(model, batches(made_set()))


def test_nothing_to_evaluate_is_refused():
    with pytest.raises(DataError, match="no samples"):
        evaluate(nn.Linear(2, 2), [])
    with pytest.raises(OptionError, match="batch_size: expected at least 1, got 0"):
        batches(made_set(), batch_size=0)
    with pytest.raises(DataError, match="images of 1 channels, normalization of 3"):
        Batches(made_set(channels=1), Normalization((0.1,) * 3, (1.0,) * 3), batch_size=4, device="cpu")


def real_evaluation(shared, model: str, file: str, limit: int | None) -> Evaluation:
    """As the command line does it without a normalisation option."""
    checkpoint = load_checkpoint(shared / "checkpoints" / file)
    data = open_data(f"npz:{shared}/data/cifar10_test.npz", "test", limit=limit)
    normalization, origin = choose_normalization(
        metadata=checkpoint.metadata, model_name=model, data_spec=data.name, channels=data.channels
    )
    assert origin == f"stated by the model {model}"
    network = restore_model(checkpoint, model).to(memory_format=torch.channels_last)
    return evaluate(network, Batches(data, normalization, batch_size=250, device="cpu", channels_last=True))


@pytest.mark.parametrize(
    ("model", "file", "correct"),
    [
        ("resnet20", "resnet20-12fca82f.th", 455),
        ("resnet8_mlperf", "mlperf_tiny_resnet8.pt", 445),
    ],
)
def test_real_checkpoint_scores_on_the_first_500_images(shared, model, file, correct):
    found = real_evaluation(shared, model, file, 500)
    assert found.count == 500
    assert abs(round(found.accuracy_percent * 5) - correct) <= 1  # another processor may round one image's tie away


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "file", "accuracy"),
    [
        ("resnet20", "resnet20-12fca82f.th", 91.73),
        ("resnet32", "resnet32-d509ac18.th", 92.63),
        ("resnet8_mlperf", "mlperf_tiny_resnet8.pt", 87.19),
    ],
)
def test_real_checkpoint_scores_what_is_published_on_the_whole_test_set(shared, model, file, accuracy):
    found = real_evaluation(shared, model, file, None)
    assert (found.count, round(found.accuracy_percent, 2)) == (10_000, accuracy)


@pytest.mark.parametrize(
    ("x", "labels", "told"),
    [
        ([[1.0, 0.0], [math.nan, 0.0]], [0, 1], "1 NaN among 4 inputs of a batch of 2"),
        ([[1.0, 0.0], [0.0, 1.0]], [0, -1], "label -1 in a batch"),
        ([[1.0, 0.0], [0.0, 1.0]], [0, -100], "label -100 in a batch"),  # which cross_entropy would leave out
        ([[1.0, 0.0], [0.0, 1.0]], [0, 2], "label 2 in the data, the network has 2 outputs"),
    ],
)
def test_batch_that_cannot_be_judged_is_refused_wherever_it_stands(x, labels, told):
    bad, good = (torch.tensor(x), torch.tensor(labels)), (torch.eye(2), torch.arange(2))
    for batches in ([bad], [good, bad]):
        with pytest.raises(DataError, match=told):
            evaluate(nn.Identity(), batches)


def test_empty_batch_counts_nothing():
    empty, good = (torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)), (torch.eye(2), torch.arange(2))
    assert evaluate(nn.Identity(), [empty, good, empty]).count == 2
    with pytest.raises(DataError, match="the data has no samples"):
        evaluate(nn.Identity(), [empty])


class Returning(nn.Module):
    def __init__(self, make) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: torch.Tensor) -> object:
        return self.make(x)


X = torch.eye(4)
LABELS = torch.tensor([0, 1, 0, 1])
UNFIT = {
    "regression target": ((X, torch.rand(4)), ["(4,) of float32", "expected class labels (N,)", "task=Regression()"]),
    "whole floats": ((X, LABELS.double()), ["(4,) of float64", "y.flatten().long()"]),
    "one-hot": ((X, F.one_hot(LABELS)), ["(4, 2) of int64", "one-hot", "y.argmax(1)"]),
    "one-hot floats": ((X, F.one_hot(LABELS).float()), ["(4, 2) of float32", "one-hot", "y.argmax(1)"]),
    "multi-label": ((X, torch.ones(4, 3)), ["(4, 3) of float32", "MultiLabel(classes=3)"]),
    "probabilities": ((X, torch.full((4, 2), 0.5)), ["(4, 2) of float32", "probabilities or regression"]),
    "sequence labels": ((X, torch.full((4, 3), 7)), ["(4, 3) of int64", "TokenClassification", "LanguageModeling"]),
    "segmentation": ((X, torch.zeros(4, 2, 2, dtype=torch.long)), ["(4, 2, 2) of int64", "Segmentation"]),
    "dict of labels": ((X, {"class": LABELS}), ["a dict with class", "as labels"]),
    "list of labels": ((X, [0, 1, 0, 1]), ["a list as labels", "one tensor"]),
    "no tensor": ((["a", "b"], LABELS), ["a list without a tensor as inputs"]),
    "dict without labels": ({"input_ids": X}, ["the keys input_ids", "labels"]),
}


@pytest.mark.parametrize("name", UNFIT)
def test_batch_that_is_no_labelled_one_is_refused_with_what_to_do(name):
    batch, facts = UNFIT[name]
    for data in ([batch], [(X, LABELS), batch]):
        with pytest.raises(DataError) as caught:
            evaluate(nn.Identity(), data)
        assert all(fact in str(caught.value) for fact in facts), str(caught.value)


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda x: {"hidden": x}, ["a dict with hidden", "'logits'", "wrap the network"]),
        (lambda x: ("a", x), ["a tuple", "'logits'", "wrap the network"]),
        (lambda x: x[:, :1], ["(4, 1)", "regression", "torch.cat([0 * z, z], 1)"]),
        (lambda x: x[:, 0], ["(4,) for 4 samples", "(N, classes)"]),
        (lambda x: x[:, None].expand(4, 5, 4), ["(4, 5, 4) for 4 samples", "flatten both"]),
    ],
    ids=["mapping", "tuple", "one output", "no classes", "sequence"],
)
def test_output_that_is_no_logits_is_refused_with_what_to_do(make, facts):
    with pytest.raises(DataError) as caught:
        evaluate(Returning(make), [(X, LABELS)])
    assert all(fact in str(caught.value) for fact in facts), str(caught.value)


def test_one_output_made_two_as_the_message_says_gives_the_binary_loss():
    z = torch.tensor([[0.3], [-1.0], [2.0], [0.5]])
    found = evaluate(Returning(lambda x: torch.cat([0 * z, z], 1)), [(X, LABELS)])
    assert found.loss == pytest.approx(F.binary_cross_entropy_with_logits(z[:, 0], LABELS.float()).item(), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.bool])
def test_labels_of_any_whole_type_count_as_classes(dtype):
    assert evaluate(nn.Identity(), [(X[:2], LABELS[:2].to(dtype))]).accuracy_percent == 100
