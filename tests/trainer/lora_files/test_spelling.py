"""Keys as programs write them, for the real layers of SD 1.5 and SDXL."""

from __future__ import annotations

import pytest
from torch import nn

from tests.trainer.bases.test_families import source
from trainer.bases import skeleton
from trainer.bases.families import FAMILIES
from trainer.lora_files import spelling
from trainer.lora_files.kohya import Names

Networks = dict[str, dict[str, nn.Module]]


@pytest.fixture(scope="module")
def full() -> Networks:
    return {name: skeleton.networks(source(FAMILIES[name])) for name in ("sd1", "sdxl")}


def spelled(family: str, full: Networks) -> dict[str, str]:
    made = full[family]
    names = Names.of(FAMILIES[family], made["unet"].config)  # type: ignore[arg-type]
    return spelling.layers(names, skeleton.readable(made))


def found(key: str, family: str, full: Networks) -> tuple[str | None, str] | None:
    place = spelling.tensor(key, ())
    return place and (spelled(family, full).get(place[0]), place[1])


Q1 = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
OUT1 = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"
FC1 = "encoder.layers.3.mlp.fc1"
SD1 = {
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight": Q1,
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_down.weight": Q1,
    "lycoris_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.lokr_w1": Q1,
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight": Q1,
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.default.weight": Q1,
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_down.weight": Q1,
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight": Q1,
    "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight": Q1,
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight": Q1,
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.down.weight": OUT1,
    "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.lora_down.weight": Q1,
    "diffusion_model.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight": Q1,
    "unet.input_blocks.4.1.transformer_blocks.0.attn1.to_q.lora_down.weight": Q1,
    "lora_unet_conv_in.alpha": "unet.conv_in",
    "lora_unet_input_blocks_0_0.alpha": "unet.conv_in",
    "diffusion_model.out.0.diff": "unet.conv_norm_out",
    "diffusion_model.out.2.diff_b": "unet.conv_out",
    "unet.conv_out.lora_B.weight": "unet.conv_out",
    "lora_unet_time_embedding_linear_2.hada_w1_a": "unet.time_embedding.linear_2",
    "diffusion_model.time_embed.2.lora_up.weight": "unet.time_embedding.linear_2",
    "lora_unet_down_blocks_0_resnets_0_norm1.w_norm": "unet.down_blocks.0.resnets.0.norm1",
    "diffusion_model.input_blocks.1.0.in_layers.0.diff": "unet.down_blocks.0.resnets.0.norm1",
    "diffusion_model.output_blocks.2.1.conv.lora_up.weight": "unet.up_blocks.0.upsamplers.0.conv",
    "lora_te_text_model_encoder_layers_3_mlp_fc1.lora_up.weight": f"text_encoder.{FC1}",
    "lora_te1_text_model_encoder_layers_3_mlp_fc1.lora_up.weight": f"text_encoder.{FC1}",
    "text_encoder.text_model.encoder.layers.3.mlp.fc1.lora_linear_layer.up.weight": f"text_encoder.{FC1}",
    "text_encoder.encoder.layers.3.mlp.fc1.lora_B.weight": f"text_encoder.{FC1}",
    "text_encoder.text_model.encoder.layers.3.self_attn.to_out_lora.up.weight": (
        "text_encoder.encoder.layers.3.self_attn.out_proj"
    ),
    "clip_l.text_model.encoder.layers.3.mlp.fc1.dora_scale": f"text_encoder.{FC1}",
    "text_encoders.clip_l.transformer.text_model.encoder.layers.3.mlp.fc1.lora_up.weight": f"text_encoder.{FC1}",
    "lora_te_text_model_encoder_layers_3_layer_norm1.w_norm": "text_encoder.encoder.layers.3.layer_norm1",
}
"""Keys for SD 1.x, and the layer that each means."""
SDXL = {
    "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_down.weight": Q1,
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight": Q1,
    "oft_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.oft_blocks": Q1,
    "lycoris_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.lokr_w2_b": Q1,
    "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.lora_A.weight": Q1,
    "unet.input_blocks.4.1.transformer_blocks.0.attn1.to_q.dora_scale": Q1,
    "lora_unet_label_emb_0_2.lora_up.weight": "unet.add_embedding.linear_2",
    "lora_unet_time_embed_0.lora_up.weight": "unet.time_embedding.linear_1",
    "lora_unet_add_embedding_linear_1.alpha": "unet.add_embedding.linear_1",
    "lora_te1_text_model_encoder_layers_3_mlp_fc1.lora_up.weight": f"text_encoder.{FC1}",
    "lora_te2_text_model_encoder_layers_3_mlp_fc1.lora_up.weight": f"text_encoder_2.{FC1}",
    "lora_te2_text_projection.lora_up.weight": "text_encoder_2.text_projection",
    "clip_g.text_model.encoder.layers.3.mlp.fc1.lora_up.weight": f"text_encoder_2.{FC1}",
    "text_encoder_2.text_model.encoder.layers.3.mlp.fc1.lora_A.weight": f"text_encoder_2.{FC1}",
    "text_encoders.clip_g.transformer.text_model.encoder.layers.3.mlp.fc1.lora_up.weight": f"text_encoder_2.{FC1}",
}


@pytest.mark.parametrize("key", SD1)
def test_keys_for_sd_1_name_their_layer(key: str, full: Networks) -> None:
    assert bare(found(key, "sd1", full)) == SD1[key]


@pytest.mark.parametrize("key", SDXL)
def test_keys_for_sdxl_name_their_layer(key: str, full: Networks) -> None:
    assert bare(found(key, "sdxl", full)) == SDXL[key]


def bare(place: tuple[str | None, str] | None) -> str | None:
    """The layer without the ``text_model`` that depends on the version of transformers."""
    return place[0].replace(".text_model.", ".") if place and place[0] else None


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_no_two_layers_share_a_spelling(family: str, full: Networks) -> None:
    made = full[family]
    names = Names.of(FAMILIES[family], made["unet"].config)  # type: ignore[arg-type]
    layers = skeleton.readable(made)
    alone = [spelling.layers(names, [layer]) for layer in layers]
    assert sum(map(len, alone)) == len(spelling.layers(names, layers))
    assert all(alone), "every layer has a name"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("x.lora_B.bias", "lora_up.bias"),
        ("x.lora_magnitude_vector", "magnitude"),
        ("x.lora_magnitude_vector.weight", "magnitude"),
        ("x.lora_mid.weight", "lora_mid.weight"),
        ("x.a1.weight", "a1.weight"),
        ("x.oft_blocks", "oft_blocks"),
    ],
)
def test_tensors_have_one_name(key: str, name: str) -> None:
    assert spelling.tensor(key, ()) == ("x", name)


def test_a_weight_is_ia3s_only_beside_its_mark() -> None:
    assert spelling.tensor("x.weight", {"x.weight"}) is None
    assert spelling.tensor("x.weight", {"x.weight", "x.on_input"}) == ("x", "weight")


@pytest.mark.parametrize("key", ["bundle_emb.cat.clip_l", "x.q_layer.weight", "lora_unet_x.lokr_t1", "alpha"])
def test_other_keys_are_no_tensors_of_a_lora(key: str) -> None:
    assert spelling.tensor(key, ()) is None
