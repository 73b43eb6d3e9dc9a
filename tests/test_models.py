"""Networks by name: sizes, shapes, and every way in which a name can be wrong."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from analog_samson import rng
from analog_samson.errors import ModelError
from analog_samson.models.build import build_model, stated_normalization
from analog_samson.models.checkpoint import load_checkpoint, save_checkpoint
from analog_samson.models.cifar_resnet import PadShortcut
from analog_samson.models.registry import MODELS, register
from analog_samson.models.restore import restore_model

PARAMETERS = {  # with 10 classes; the sources of the published counts stand in the networks' modules
    "densenet40": 1_019_722,
    "digits_cnn": 15_418,
    "mobilenetv2_cifar": 2_296_922,
    "resnet18_cifar": 11_173_962,
    "resnet34_cifar": 21_282_122,
    "resnet50_cifar": 23_520_842,
    "vgg13_bn": 9_416_010,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet8_mlperf": 78_186,
}


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_registered_network_has_a_pinned_size():
    assert {name: parameters(build_model(name)) for name in MODELS} == PARAMETERS


@pytest.mark.parametrize("name", MODELS)
def test_network_takes_other_class_and_channel_counts(name):
    model = build_model(name, num_classes=7, in_channels=2).eval()
    size = 8 if name == "digits_cnn" else 32
    assert model(torch.zeros(3, 2, size, size)).shape == (3, 7)


@pytest.mark.parametrize("name", MODELS)
def test_network_has_its_stated_defaults(name):
    entry, size = MODELS[name], 8 if name == "digits_cnn" else 32
    assert build_model(name).eval()(torch.zeros(2, entry.in_channels, size, size)).shape == (2, entry.num_classes)


def test_weights_follow_the_stream_they_are_built_in():
    def weights(seed: int) -> torch.Tensor:
        with rng.stream(seed, "initial weights"):
            return build_model("digits_cnn").head.weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize(
    ("name", "last", "side"),
    [
        ("resnet18_cifar", "layer4.1.conv2", 4),
        ("resnet50_cifar", "layer4.2.conv3", 4),
        ("vgg13_bn", "features.30", 2),
        ("mobilenetv2_cifar", "conv2", 4),
        ("densenet40", "norm", 8),
    ],
)
def test_last_map_of_a_32_pixel_image_has_the_published_size(name, last, side):
    model, shapes = build_model(name).eval(), []
    model.get_submodule(last).register_forward_hook(lambda module, inputs, output: shapes.append(output.shape[2:]))
    with torch.no_grad():
        model(torch.zeros(1, 3, 32, 32))
    assert shapes == [(side, side)]


@pytest.mark.parametrize("name", ["resnet20", "resnet18_cifar", "densenet40"])
def test_initial_convolutions_have_the_spread_of_he_et_al(name):
    """Mean of the variances in units of 2 / fan_out: n weights scatter by sqrt(2 / n); seed fixed, 4.9 of those."""
    with rng.stream(0, "initial weights"):
        model = build_model(name)
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    relative = torch.cat([w.flatten().double() * (len(w) * w[0, 0].numel() / 2) ** 0.5 for w in weights])
    assert abs(relative.square().mean().item() - 1) < 4.9 * (2 / len(relative)) ** 0.5


def test_mobilenet_filters_each_channel_by_itself():
    filters = [m for m in build_model("mobilenetv2_cifar").modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(filters) == 17
    assert all(module.groups == module.in_channels == module.out_channels for module in filters)


def test_pad_shortcut_takes_every_second_pixel_and_pads_channels_with_zeros():
    x = torch.randn(2, 4, 6, 6)
    y = PadShortcut(4)(x)
    assert y.shape == (2, 8, 3, 3)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2])
    assert not y[:, [0, 1, 6, 7]].any()


def test_mlperf_network_pads_as_keras_does():
    """Keras's "same" at stride 2 on an even size pads on the right and bottom only."""
    same = build_model("resnet8_mlperf").same
    y = same(torch.ones(1, 1, 4, 4))
    assert y.shape == (1, 1, 5, 5)
    assert y[0, 0, 0].sum() == 4
    assert y[0, 0, 4].sum() == 0


def test_second_entry_for_a_name_raises():
    with pytest.raises(ValueError, match="'resnet20' is registered already"):
        register("resnet20", num_classes=1, in_channels=1, summary="")(nn.Identity)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet21", "unknown model 'resnet21'; did you mean "),
        ("digitscnn", "did you mean 'digits_cnn'?; expected one of resnet20, "),
        ("zzz", "unknown model 'zzz'; expected one of"),
        ("torchvision:resnet19", "did you mean 'resnet18'"),
        ("timm:", "unknown model 'timm:'"),
        ("no.such.package:build", "no module 'no'"),
        ("torch.nn:NoSuchLayer", "torch.nn has no 'NoSuchLayer'"),
        ("torch.nn:Linaer", "torch.nn has no 'Linaer'; did you mean 'Linear'"),
        ("torch.nn:", "unknown model"),
        ("my-net:build", "expected package.module:callable"),
        ("math:pi", "expected something to call, got a float"),
        ("math:gcd", "expected it to return a torch.nn.Module, got a int"),
        ("torch.nn:Linear", "raised TypeError"),
    ],
)
def test_unusable_name_is_explained(name, expected):
    with pytest.raises(ModelError) as caught:
        build_model(name)
    assert expected in str(caught.value)


@pytest.mark.parametrize("counts", [{"num_classes": 0}, {"in_channels": -1}])
def test_counts_below_one_are_refused(counts):
    with pytest.raises(ModelError, match="expected counts of at least 1"):
        build_model("resnet20", **counts)


def test_torchvision_network_takes_classes_and_refuses_other_channels():
    model = build_model("torchvision:mobilenet_v3_small", num_classes=7, in_channels=3).eval()
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 7)
    with pytest.raises(ModelError, match="takes 3 input channels, 1 are needed"):
        build_model("torchvision:resnet18", in_channels=1)


def test_timm_that_is_not_installed_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"timm is not installed; pip install 'analog-samson\[timm\]'"):
        build_model("timm:resnet18")


def fake_timm() -> ModuleType:
    """The three functions of timm that are used, for machines without it."""
    timm = ModuleType("timm")
    timm.__version__ = "1.0"
    timm.list_models = lambda: ["tiny"]
    timm.create_model = lambda name, pretrained, num_classes=10, in_chans=3: nn.Linear(in_chans, num_classes)
    timm.get_pretrained_cfg = lambda name: SimpleNamespace(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    return timm


def test_timm_network_is_built_with_the_counts(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", fake_timm())
    model = build_model("timm:tiny", num_classes=4, in_channels=2)
    assert (model.in_features, model.out_features) == (2, 4)
    assert stated_normalization("timm:tiny") == "0.5,0.5,0.5/0.25,0.25,0.25"
    with pytest.raises(ModelError, match="did you mean 'tiny'"):
        build_model("timm:tinny")


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Write a module into the current folder and give its name; it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])

    def write(text: str) -> str:
        (tmp_path / "users_own_net.py").write_text(text)
        return "users_own_net"

    yield write
    sys.modules.pop("users_own_net", None)


def test_callable_in_the_current_folder_gets_the_arguments_it_takes(user_module):
    name = user_module("from torch import nn\ndef build(num_classes=3):\n    return nn.Linear(4, num_classes)\n")
    assert build_model(f"{name}:build", num_classes=9, in_channels=1).out_features == 9
    assert build_model(f"{name}:build").out_features == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import no_such_thing\n", "importing users_own_net failed: it needs 'no_such_thing'; install that"),
        ("def build(:\n", "importing users_own_net failed: SyntaxError"),
        ("1 / 0\n", "importing users_own_net failed: ZeroDivisionError: division by zero"),
        ("def build():\n    raise KeyError('x')\n", "users_own_net:build() raised KeyError: 'x'"),
    ],
)
def test_fault_in_the_users_module_is_explained(user_module, text, expected):
    with pytest.raises(ModelError) as caught:
        build_model(f"{user_module(text)}:build")
    assert expected in str(caught.value)


def test_fault_in_the_users_function_names_its_line(user_module):
    with pytest.raises(ModelError, match=r"users_own_net\.py:2"):
        build_model(f"{user_module('def build():' + chr(10) + '    1 / 0' + chr(10))}:build")


def test_network_is_restored_from_its_own_checkpoint(tmp_path):
    model = build_model("digits_cnn", num_classes=4, in_channels=3)
    metadata = {"model": "digits_cnn", "num_classes": 4, "in_channels": 3}
    save_checkpoint(tmp_path / "net", model, metadata)
    restored = restore_model(load_checkpoint(tmp_path / "net"))
    assert torch.equal(restored.head.weight, model.head.weight)


def test_checkpoint_without_a_model_name_needs_one(tmp_path):
    model = build_model("digits_cnn")
    save_checkpoint(tmp_path / "net", model, {})
    checkpoint = load_checkpoint(tmp_path / "net")
    with pytest.raises(ModelError, match="does not say which network it belongs to; name it"):
        restore_model(checkpoint)
    assert torch.equal(restore_model(checkpoint, "digits_cnn").head.weight, model.head.weight)
