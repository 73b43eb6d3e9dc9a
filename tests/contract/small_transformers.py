"""Networks of Hugging Face's transformers, tiny and with random weights, each with inputs that it takes."""

# ruff: noqa: E501

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analog_samson import rng

_IDS = torch.arange(12).view(2, 6) % 23
_TEXT = {"input_ids": _IDS, "attention_mask": torch.ones(2, 6, dtype=torch.long)}
_IMAGE = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
_SMALL = {
    "vocab_size": 23,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
_DECODER = {**_SMALL, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


@dataclass(frozen=True)
class Small:
    """A class of transformers, the options of its configuration, and inputs.

    Attributes:
        model: The class.
        options: Of its configuration.
        inputs: What the network is called with, by name.
    """

    model: str
    options: Mapping[str, Any]
    inputs: Callable[[], dict[str, Tensor]] = lambda: dict(_TEXT)

    def build(self) -> nn.Module:
        """The network in eval mode, with weights from a stream of its own."""
        import transformers

        kind = getattr(transformers, self.model)
        with rng.stream(0, "initial weights", self.model):
            model = kind(kind.config_class(**self.options)).eval()
            for parameter in model.parameters():  # transformers starts with weights so small that signals fade
                if parameter.ndim > 1:
                    nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        return model


def _images() -> dict[str, Tensor]:
    return {"pixel_values": _IMAGE}


def _seq2seq() -> dict[str, Tensor]:
    return {**_TEXT, "decoder_input_ids": _IDS[:, :4]}


_T5 = {"vocab_size": 23, "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}
_BART = {
    "vocab_size": 23, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_position_embeddings": 32,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2, "forced_eos_token_id": 2,
}  # fmt: skip
_GPT2 = {"vocab_size": 23, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
_GROUPED = {**_DECODER, "num_key_value_heads": 1}
_VIT = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "image_size": 32,
    "patch_size": 8, "num_labels": 5,
}  # fmt: skip
_AUDIO = torch.randn(2, 1600, generator=torch.Generator().manual_seed(1))
_WAV2VEC = {
    "vocab_size": 23, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": (8, 8), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
_WHISPER = {
    "vocab_size": 23, "num_mel_bins": 8, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24,
    "max_source_positions": 20, "max_target_positions": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1, "suppress_tokens": None, "begin_suppress_tokens": None,
}  # fmt: skip
_CLIP = {
    "text_config": {**_SMALL, "max_position_embeddings": 32, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0},
    "vision_config": {**_VIT, "num_labels": 2},
    "projection_dim": 8,
}

TRANSFORMERS = {
    "bert": Small("BertForSequenceClassification", _SMALL),
    "bert-mlm": Small("BertForMaskedLM", _SMALL),
    "roberta": Small("RobertaForTokenClassification", {**_SMALL, "max_position_embeddings": 40, "pad_token_id": 1}),
    "albert": Small("AlbertForSequenceClassification", {**_SMALL, "embedding_size": 8}),
    "distilbert": Small("DistilBertForQuestionAnswering", {"vocab_size": 23, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}),
    "deberta": Small("DebertaV2ForSequenceClassification", {**_SMALL, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 4, "max_relative_positions": 8}),
    "electra": Small("ElectraForSequenceClassification", {**_SMALL, "embedding_size": 8}),
    "t5": Small("T5ForConditionalGeneration", _T5, _seq2seq),
    "bart": Small("BartForConditionalGeneration", _BART, _seq2seq),
    "gpt2": Small("GPT2LMHeadModel", _GPT2),
    "gpt-neox": Small("GPTNeoXForCausalLM", _DECODER),
    "opt": Small("OPTForCausalLM", {**_DECODER, "ffn_dim": 24, "word_embed_proj_dim": 16}),
    "llama": Small("LlamaForCausalLM", _GROUPED),
    "mistral": Small("MistralForCausalLM", _GROUPED),
    "qwen2": Small("Qwen2ForCausalLM", _GROUPED),
    "gemma": Small("GemmaForCausalLM", {**_GROUPED, "head_dim": 8}),
    "phi": Small("PhiForCausalLM", _DECODER),
    "mixtral": Small("MixtralForCausalLM", {**_GROUPED, "num_local_experts": 2, "num_experts_per_tok": 2}),
    "mamba": Small("MambaForCausalLM", {"vocab_size": 23, "hidden_size": 16, "state_size": 4, "num_hidden_layers": 2, "expand": 2, "conv_kernel": 3, "time_step_rank": 2}, lambda: {"input_ids": _IDS}),
    "vit": Small("ViTForImageClassification", _VIT, _images),
    "deit": Small("DeiTForImageClassification", _VIT, _images),
    "beit": Small("BeitForImageClassification", _VIT, _images),
    "dinov2": Small("Dinov2ForImageClassification", {**_VIT, "mlp_ratio": 2}, _images),
    "swin": Small("SwinForImageClassification", {"image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "num_labels": 5}, _images),
    "convnext": Small("ConvNextForImageClassification", {"hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2, "num_labels": 5}, _images),
    "segformer": Small("SegformerForSemanticSegmentation", {"num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1], "hidden_sizes": [8, 16], "patch_sizes": [7, 3], "strides": [4, 2], "num_attention_heads": [1, 2], "mlp_ratios": [2, 2], "decoder_hidden_size": 16, "num_labels": 4}, _images),
    "clip": Small("CLIPModel", _CLIP, lambda: {**_TEXT, **_images()}),
    "wav2vec2": Small("Wav2Vec2ForCTC", _WAV2VEC, lambda: {"input_values": _AUDIO}),
    "hubert": Small("HubertForCTC", _WAV2VEC, lambda: {"input_values": _AUDIO}),
    "whisper": Small("WhisperForConditionalGeneration", _WHISPER, lambda: {"input_features": torch.randn(2, 8, 40, generator=torch.Generator().manual_seed(2)), "decoder_input_ids": _IDS[:, :4]}),
}  # fmt: skip
