"""Text that transformers' `generate` writes on a simulated chip, with and without its cache of keys and values."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from analog_samson import SimulatedDevice, load_preset, plan_conversion, rng
from analog_samson.results.condition import Condition

transformers = pytest.importorskip("transformers")

SHAPE = {"vocab_size": 31, "bos_token_id": 0, "eos_token_id": None, "pad_token_id": 0}
DAY = Condition(stage="drift", time_seconds=86400.0)
STATIC = load_preset("pcm_rasch_2023")
EIGHT_BITS = STATIC.model_copy(  # rounding alone: no number is drawn in a forward
    update={
        "periphery": STATIC.periphery.model_copy(
            update={"output_noise": 0.0, "read_noise_kind": "none", "read_noise": 0.0, "ir_drop": 0.0}
        )
    }
)


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(n_layer=2, n_head=2, n_embd=16, n_positions=32, **SHAPE)
    return transformers.GPT2LMHeadModel(config)


def llama() -> nn.Module:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "max_position_embeddings": 32}
    config = transformers.LlamaConfig(num_attention_heads=4, num_key_value_heads=2, **sizes, **SHAPE)
    return transformers.LlamaForCausalLM(config)


MODELS = {"gpt2": gpt2, "llama": llama}


@pytest.fixture(params=MODELS)
def drawn(request):
    """A network whose weights are large enough that its text varies, and two prompts."""
    with rng.stream(0, request.param), torch.no_grad():
        model = MODELS[request.param]().eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.5)
        return model, torch.randint(1, 31, (2, 4))


def written(network: Any, prompts: Tensor, *, cached: bool) -> Tensor:
    options = {"do_sample": False, "max_new_tokens": 10, "use_cache": cached}
    return network.generate(prompts, attention_mask=torch.ones_like(prompts), **options)


def on_chip(model: nn.Module, preset: Any, prompts: Tensor, cached: tuple[bool, ...] = (True, False)) -> list[Tensor]:
    plan = plan_conversion(model, preset, example=(prompts,))
    assert "lm_head" in "".join(row.path for row in plan.with_action("analog")) or model.config.tie_word_embeddings
    ranges = {row.path: 4.0 for row in plan.rows} if preset.periphery.model == "converters" else None
    with SimulatedDevice(model, plan, input_ranges=ranges).program(0, 0).at(DAY) as network:
        return [written(network, prompts, cached=one) for one in cached]


def test_text_of_ideal_hardware_is_the_digital_one(drawn):
    model, prompts = drawn
    digital = [written(model, prompts, cached=cached) for cached in (True, False)]
    assert len(digital[0].unique()) > 5
    for text in on_chip(model, load_preset("ideal"), prompts):
        assert torch.equal(text, digital[0])
        assert torch.equal(text, digital[1])


def test_text_on_noisy_weights_is_the_same_with_and_without_the_cache(drawn):
    model, prompts = drawn
    cached, whole = on_chip(model, load_preset("pcm_nandakumar_2019"), prompts)
    assert torch.equal(cached, whole)
    assert not torch.equal(cached, written(model, prompts, cached=True))


@pytest.mark.parametrize("preset", [EIGHT_BITS, STATIC], ids=["8 bits", "everything"])
def test_text_through_converters_repeats_with_the_seed(drawn, preset):
    model, prompts = drawn
    first, again = (on_chip(model, preset, prompts, cached=(True,))[0] for _ in range(2))
    assert torch.equal(first, again)
    assert first.shape == (2, 14)
    assert torch.equal(first[:, :4], prompts)
