"""What every network of torchvision, timm, transformers or one's own keeps to: it is planned whole, and it simulates.

On ideal hardware a network computes what it computes digitally. On PCM and with 8-bit converters it gives finite
outputs, and the same ones for the same seed. `python tests/contract/test_libraries.py` writes what each network gave to
tests/contract/results.csv.
"""

import csv
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from analog_samson import SimulatedDevice, load_preset, plan_conversion, rng
from analog_samson.chip.batchnorm import adapt_batchnorm
from analog_samson.chip.input_ranges import choose_input_ranges
from analog_samson.errors import InputRangeWarning
from analog_samson.results.condition import Condition

sys.path.insert(0, str(Path(__file__).parent))
from own_networks import NETWORKS
from small_transformers import TRANSFORMERS

RESULTS = Path(__file__).parent / "results.csv"
PRESETS = ("ideal", "pcm_nandakumar_2019", "pcm_rasch_2023")
COLUMNS = ("network", "parameters", "analog_parameters_percent", "analog_macs_percent", *PRESETS, "problem")
DAY = Condition(stage="drift", time_seconds=86400.0)
NOW = Condition(stage="drift", time_seconds=0.0)


@dataclass(frozen=True)
class Case:
    """A network with inputs for it, by name; `fast` cases are part of every test run."""

    build: Callable[[], nn.Module]
    inputs: Callable[[], dict[str, Tensor]]
    fast: bool = False


def picture(side: int, *more: int) -> Callable[[], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return lambda: {"x": torch.randn(2, 3, *more, side, side, generator=generator.manual_seed(0))}


def seeded(name: str, make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        with rng.stream(0, "initial weights", name):
            model = make().eval()
            for parameter in model.parameters():  # some heads start with zeros, and so give nothing but zeros
                if parameter.ndim > 1 and not parameter.any():
                    nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        return model

    return build


def adapted(build: Callable[[], nn.Module]) -> nn.Module:
    """With batch-norm statistics of its inputs."""
    model = build()
    adapt_batchnorm(model, [picture(64)()["x"]])
    return model


def torchvision_cases() -> dict[str, Case]:
    from torchvision import models
    from torchvision.models import detection, segmentation, video

    cases = {}
    for name in TORCHVISION:
        side = {"inception_v3": 299}.get(name, 224 if name.startswith(("vit", "swin", "maxvit")) else 64)
        cases[name] = Case(seeded(name, partial(models.get_model, name, weights=None)), picture(side))
    for name in ("deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "fcn_resnet50", "lraspp_mobilenet_v3_large"):
        make = getattr(segmentation, name)
        build = seeded(name, partial(make, weights=None, weights_backbone=None))
        faint = name == "deeplabv3_mobilenet_v3_large"  # fresh batch norm gives one output for all inputs
        cases[name] = Case(partial(adapted, build) if faint else build, picture(64))
    backbone = detection.backbone_utils.resnet_fpn_backbone
    for name in ("resnet18", "resnet50"):
        cases[f"fpn_{name}"] = Case(seeded(name, partial(backbone, backbone_name=name, weights=None)), picture(64))
    for name in ("r3d_18", "mc3_18", "r2plus1d_18"):
        cases[name] = Case(seeded(name, partial(getattr(video, name), weights=None)), picture(32, 4))
    return {f"torchvision:{name}": case for name, case in cases.items()}


def timm_cases() -> dict[str, Case]:
    timm = pytest.importorskip("timm", reason="timm is not installed")

    def case(name: str) -> Case:
        config = timm.get_pretrained_cfg(name)
        side = config.input_size[1] if config is not None else 224
        return Case(seeded(name, lambda: timm.create_model(name, pretrained=False)), picture(side))

    return {f"timm:{name}": case(name) for name in TIMM}


def transformers_cases() -> dict[str, Case]:
    return {f"hf:{name}": Case(small.build, small.inputs, fast=True) for name, small in TRANSFORMERS.items()}


def own_cases() -> dict[str, Case]:
    return {
        f"own:{name}": Case(seeded(name, build), lambda x=x: {"x": x}, fast=True)
        for name, (build, x) in NETWORKS.items()
    }


def answer(network: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
    """The tensor that a network's output consists of, or the one that names what it was trained for."""
    with torch.no_grad():
        output: Any = network(inputs["x"]) if set(inputs) == {"x"} else network(**inputs)
    for name in ("logits", "logits_per_text", "start_logits", "last_hidden_state", "out", "0"):
        if not isinstance(output, Tensor) and name in output:
            return output[name]
    return output[0] if isinstance(output, tuple | list) else output


def examine(
    build: Callable[[], nn.Module], inputs: Callable[[], dict[str, Tensor]], *, shown: bool = False
) -> dict[str, float]:
    """Simulate a network on each preset and assert what every network keeps to; shown: plan with an example."""
    model, x = build(), inputs()
    batch = (x["x"], torch.zeros(2)) if set(x) == {"x"} else x
    digital = answer(model, x)
    size, spread = digital.abs().max().item(), (digital[0] - digital[1]).abs().max().item()
    assert size > 0
    found: dict[str, float] = {}
    for name in PRESETS:
        preset = load_preset(name)
        plan = plan_conversion(model, preset, example=(x["x"] if set(x) == {"x"} else x) if shown else None)
        plan.check()
        assert all(row.reason for row in plan.rows if row.action != "analog")
        ranges = None
        if name == "pcm_rasch_2023":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", InputRangeWarning)
                # the search for the smallest output error takes minutes on a large network, and has tests of its own
                chosen = choose_input_ranges(model, preset, [batch], seed=0, method="std", plan=plan)
            ranges = {path: one.value for path, one in chosen.items()}
        device = SimulatedDevice(model, plan, input_ranges=ranges)
        outputs = []
        for _ in range(2):
            with device.program(0, 0).at(NOW if name == "ideal" else DAY) as network:
                outputs.append(answer(network, x))
            if name == "ideal":
                break
        assert outputs[0].shape == digital.shape
        assert outputs[0].isfinite().all()
        assert outputs[0].equal(outputs[-1])
        error = (outputs[0] - digital).abs().max().item()
        # with random weights, outputs may differ little between inputs, or not at all
        assert name == "ideal" or spread == 0 or error > 1e-2 * spread
        found[name] = error / size
    assert found["ideal"] < 1e-4
    found["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    found |= examine_plan(model, x)
    found["analog_parameters_percent"] = plan.summary().analog_parameters_percent
    return found


def examine_plan(model: nn.Module, x: Mapping[str, Tensor]) -> dict[str, float]:
    """Assert that the plan of a network adds up to its parameters and to what torch's FlopCounterMode counts."""
    plan = plan_conversion(model, load_preset("ideal"), example=x["x"] if set(x) == {"x"} else x)
    model.requires_grad_(False)  # the counter follows gradients where a network enables them
    enabled = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False  # the counter does not see into recurrent kernels, nor into fused attention
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            answer(model, x)
    finally:
        torch.backends.mkldnn.enabled = enabled
        torch.backends.mha.set_fastpath_enabled(True)
    total = counter.get_total_flops() / 2 / len(next(iter(x.values())))
    assert plan.macs == sum(row.macs for row in plan.rows) == pytest.approx(total, rel=0.01)
    assert sum(row.parameters for row in plan.rows) == sum(p.numel() for p in model.parameters())
    assert all(row.reason for row in plan.rows if row.action != "analog")
    return {"analog_macs_percent": plan.summary().analog_macs_percent}


TORCHVISION = (
    "alexnet", "convnext_small", "convnext_tiny", "densenet121", "densenet161", "densenet169", "densenet201",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5",
    "efficientnet_b6", "efficientnet_v2_m", "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5",
    "mnasnet0_75", "mnasnet1_0", "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small",
    "regnet_x_16gf", "regnet_x_1_6gf", "regnet_x_3_2gf", "regnet_x_400mf", "regnet_x_800mf", "regnet_x_8gf",
    "regnet_y_16gf", "regnet_y_1_6gf", "regnet_y_3_2gf", "regnet_y_400mf", "regnet_y_800mf", "regnet_y_8gf",
    "resnet101", "resnet152", "resnet18", "resnet34", "resnet50", "resnext101_32x8d", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0",
    "squeezenet1_1", "swin_s", "swin_t", "swin_v2_s", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_16", "vit_b_32",
    "wide_resnet50_2",
)  # fmt: skip
TIMM = (
    "beit_base_patch16_224", "cait_xxs24_224", "coat_tiny", "convit_tiny", "convmixer_768_32", "cpubone_nano",
    "crossvit_tiny_240", "cs3darknet_focus_s", "cspnext_tiny", "davit_tiny", "deit_tiny_patch16_224", "densenet121",
    "dla46x_c", "dpn48b", "edgenext_xx_small", "efficientformerv2_s0", "efficientvim_m1", "efficientvit_b0",
    "efficientvit_m0", "ese_vovnet19b_slim_dw", "fasternet_t0", "fastvit_t8", "focalnet_tiny_srf", "gcvit_xxtiny",
    "ghostnet_050", "gmlp_ti16_224", "halonet_h1", "hardcorenas_b", "hgnetv2_b0", "hiera_tiny_224", "hrnet_w18_small",
    "iformer_t", "inception_next_atto", "inception_resnet_v2", "inception_v3", "inception_v4", "lcnetv2_small",
    "legacy_seresnet18", "legacy_xception", "levit_128s", "lowformer_b0", "mobilenetv3_small_050", "mobilenetv5_base",
    "mobilevit_xxs", "mvitv2_tiny", "nest_tiny", "nextvit_small", "pit_ti_224", "poolformerv2_s12", "pvt_v2_b0",
    "rdnet_tiny", "regnetx_002", "repghostnet_050", "repvit_m1", "res2next50", "resnest14d", "resnetv2_18",
    "rexnet_100", "samvit_base_patch16_224", "selecsls42", "sequencer2d_s", "shvit_s1", "skresnet18", "starnet_s050",
    "swiftformer_xs", "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_224", "swinv2_tiny_window8_256", "test_byobnet",
    "test_coatnet", "test_convnext", "test_efficientnet", "test_mambaout", "test_nfnet", "test_resnet", "test_vit",
    "test_vit_relpos", "tiny_vit_5m_224", "tnt_s_patch16_224", "tresnet_m", "twins_svt_small", "visformer_tiny",
    "vit_tiny_patch16_dinov3_qkvb", "vit_tiny_r_s16_p8_224", "vitamin_small_224", "volo_d1_224", "xception41p",
    "xcit_nano_12_p8_224",
)  # fmt: skip


def fast(cases: Mapping[str, Case]) -> list[str]:
    return [name for name, case in cases.items() if case.fast]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformer_of_hugging_face_is_planned_and_simulated(name):
    pytest.importorskip("transformers", reason="transformers is not installed")
    case = transformers_cases()[f"hf:{name}"]
    examine(case.build, case.inputs)


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("name", NETWORKS)
def test_network_of_ones_own_is_planned_and_simulated(name):
    found = _examine(f"own:{name}", own_cases()[f"own:{name}"])
    assert found["analog_macs_percent"] > {"tied-language-model": 85, "hand-written-vit": 71}.get(name, 99.9)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # libraries warn about themselves
@pytest.mark.parametrize("name", [f"torchvision:{name}" for name in TORCHVISION])
def test_network_of_torchvision_is_planned_and_simulated(name):
    case = torchvision_cases()[name]
    examine(case.build, case.inputs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [f"timm:{name}" for name in TIMM])
def test_network_of_timm_is_planned_and_simulated(name):
    case = timm_cases()[name]
    examine(case.build, case.inputs)


def stored_rows() -> dict[str, dict[str, str]]:
    """The rows of results.csv by network."""
    if not RESULTS.exists():
        return {}
    with RESULTS.open(newline="") as file:
        return {row["network"]: row for row in csv.DictReader(file)}


def test_stored_results_are_right_and_cover_the_networks():
    rows = stored_rows()
    assert set(rows) == {*own_cases(), *transformers_cases(), *torchvision_cases(), *(f"timm:{name}" for name in TIMM)}
    assert {name: row["problem"] for name, row in rows.items() if row["problem"]} == {}
    assert all(float(row["ideal"]) < 1e-4 for row in rows.values())


def _examine(name: str, case: Case) -> dict[str, float]:
    return examine(case.build, case.inputs, shown=name.startswith("own:"))


def main() -> None:
    """Examine the networks that are named, or all without a row, and write one row for each, failures included."""
    warnings.simplefilter("ignore")
    cases = {**own_cases(), **transformers_cases(), **torchvision_cases(), **timm_cases()}
    rows = {name: row for name, row in stored_rows().items() if name in cases}
    for name in sys.argv[1:] or [name for name in cases if name not in rows]:
        try:
            found = {key: f"{value:.4g}" for key, value in _examine(name, cases[name]).items()}
        except Exception as error:
            found = {"problem": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]}
        rows[name] = {"network": name, **found}
        with RESULTS.open("w", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
            table.writeheader()
            table.writerows(rows[name] for name in cases if name in rows)


if __name__ == "__main__":
    main()
