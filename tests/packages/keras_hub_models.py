"""Small models of keras_hub with weights that are drawn, by the names of their classes, with what to feed them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import keras_hub

models = keras_hub.models
VOCABULARY = 60
# The constructor's arguments that most transformers share.
SMALL = {"vocabulary_size": VOCABULARY, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "intermediate_dim": 32}
GROUPED = {
    "vocabulary_size": VOCABULARY,
    "num_layers": 2,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 32,
}
IMAGE = (32, 32, 3)


def _bert() -> Any:
    return models.BertBackbone(**SMALL, max_sequence_length=12)


def _gpt2() -> Any:
    return models.GPT2Backbone(**SMALL, max_sequence_length=12)


def _vit() -> Any:
    return models.ViTBackbone(image_shape=IMAGE, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32)


def _resnet() -> Any:
    return models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 2],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=IMAGE,
    )


def _transformer_layers() -> Any:
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    encoded = keras_hub.layers.TokenAndPositionEmbedding(VOCABULARY, 12, 16, mask_zero=True)(tokens)
    encoded = keras_hub.layers.TransformerEncoder(32, 2)(encoded)
    others = keras.Input((None,), dtype="int32", name="decoder_token_ids")
    decoded = keras_hub.layers.TokenAndPositionEmbedding(VOCABULARY, 12, 16, mask_zero=True)(others)
    decoded = keras_hub.layers.TransformerDecoder(32, 2)(decoded, encoded)
    return keras.Model([tokens, others], keras.layers.Dense(3)(decoded))


MODELS: dict[str, Callable[[], Any]] = {
    "BertBackbone": _bert,
    "BertMaskedLM": lambda: models.BertMaskedLM(_bert()),
    "BertTextClassifier": lambda: models.BertTextClassifier(_bert(), num_classes=3),
    "DistilBertBackbone": lambda: models.DistilBertBackbone(**SMALL, max_sequence_length=12),
    "RobertaBackbone": lambda: models.RobertaBackbone(**SMALL, max_sequence_length=12),
    "AlbertBackbone": lambda: models.AlbertBackbone(**SMALL, embedding_dim=8, max_sequence_length=12),
    "DebertaV3Backbone": lambda: models.DebertaV3Backbone(**SMALL, max_sequence_length=12, bucket_size=4),
    "ElectraBackbone": lambda: models.ElectraBackbone(
        vocab_size=VOCABULARY,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        embedding_dim=8,
        intermediate_dim=32,
        max_sequence_length=12,
    ),
    "FNetBackbone": lambda: models.FNetBackbone(
        vocabulary_size=VOCABULARY, num_layers=2, hidden_dim=16, intermediate_dim=32, max_sequence_length=12
    ),
    "GPT2Backbone": _gpt2,
    "GPT2CausalLM": lambda: models.GPT2CausalLM(_gpt2()),
    "OPTBackbone": lambda: models.OPTBackbone(**SMALL, max_sequence_length=12),
    "GPTNeoXBackbone": lambda: models.GPTNeoXBackbone(**SMALL, max_sequence_length=12),
    "MistralBackbone": lambda: models.MistralBackbone(**GROUPED, sliding_window=4),
    "GemmaBackbone": lambda: models.GemmaBackbone(**GROUPED, head_dim=8),
    "LlamaBackbone": lambda: models.LlamaBackbone(**GROUPED),
    "BloomBackbone": lambda: models.BloomBackbone(**SMALL, max_sequence_length=12),
    "FalconBackbone": lambda: models.FalconBackbone(
        vocabulary_size=VOCABULARY, num_layers=2, num_attention_heads=2, hidden_dim=16, intermediate_dim=32
    ),
    "Qwen3Backbone": lambda: models.Qwen3Backbone(**GROUPED, head_dim=8),
    "T5Backbone": lambda: models.T5Backbone(**SMALL),
    "BartBackbone": lambda: models.BartBackbone(**SMALL, max_sequence_length=12),
    "WhisperBackbone": lambda: models.WhisperBackbone(
        **SMALL, num_mels=8, max_encoder_sequence_length=12, max_decoder_sequence_length=12
    ),
    "XLNetBackbone": lambda: models.XLNetBackbone(**SMALL),
    "ViTBackbone": _vit,
    "ViTImageClassifier": lambda: models.ViTImageClassifier(_vit(), num_classes=3),
    "DeiTBackbone": lambda: models.DeiTBackbone(
        image_shape=IMAGE, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32
    ),
    "DINOV2Backbone": lambda: models.DINOV2Backbone(
        patch_size=8, num_layers=2, hidden_dim=16, num_heads=2, intermediate_dim=32, image_shape=IMAGE
    ),
    "SwinTransformerBackbone": lambda: models.SwinTransformerBackbone(
        image_shape=IMAGE, patch_size=4, embed_dim=8, depths=(2, 2), num_heads=(1, 2), window_size=4
    ),
    "MiTBackbone": lambda: models.MiTBackbone(
        image_shape=IMAGE,
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[2, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        hidden_dims=[8, 16],
    ),
    "HGNetV2Backbone": lambda: models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[16, 16],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[[8, 8, 16, 1, 3, 3], [16, 8, 16, 1, 3, 3]],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, True],
        image_shape=IMAGE,
    ),
    "MobileNetBackbone": lambda: models.MobileNetBackbone(
        stackwise_expansion=[[8], [16, 24]],
        stackwise_num_blocks=[1, 2],
        stackwise_num_filters=[[8], [8, 8]],
        stackwise_kernel_size=[[3], [5, 5]],
        stackwise_num_strides=[[2], [2, 1]],
        stackwise_se_ratio=[[0.25], [None, 0.25]],
        stackwise_activation=[["relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1], [2, 2]],
        output_num_filters=16,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=16,
        squeeze_and_excite=0.5,
        input_num_filters=8,
        image_shape=IMAGE,
    ),
    "ResNetImageClassifier": lambda: models.ResNetImageClassifier(_resnet(), num_classes=3),
    "DenseNetBackbone": lambda: models.DenseNetBackbone(
        stackwise_num_repeats=[1, 2], compression_ratio=0.5, growth_rate=4, image_shape=IMAGE
    ),
    "EfficientNetBackbone": lambda: models.EfficientNetBackbone(
        stackwise_width_coefficients=[1.0] * 2,
        stackwise_depth_coefficients=[1.0] * 2,
        stackwise_kernel_sizes=[3, 5],
        stackwise_num_repeats=[1, 2],
        stackwise_input_filters=[8, 8],
        stackwise_output_filters=[8, 16],
        stackwise_expansion_ratios=[1, 4],
        stackwise_strides=[1, 2],
        stackwise_squeeze_and_excite_ratios=[0.25, 0.25],
        stackwise_block_types=["v1", "unfused"],
        stackwise_force_input_filters=[0, 0],
        stackwise_nores_option=[False, False],
        stem_conv_padding="same",
        batch_norm_momentum=0.9,
        dropout=0.2,
        image_shape=IMAGE,
        min_depth=None,
        include_initial_padding=False,
        use_depth_divisor_as_min_depth=True,
        cap_round_filter_decrease=False,
    ),
    "VGGBackbone": lambda: models.VGGBackbone([1, 2], [8, 16], image_shape=IMAGE),
    "XceptionBackbone": lambda: models.XceptionBackbone(
        [[8, 16], [16, 24], [24, 24]], [True, True, False], image_shape=IMAGE
    ),
    "TransformerEncoder and TransformerDecoder": _transformer_layers,
}
