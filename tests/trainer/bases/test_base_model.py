"""The base model: what is refused, and text and images against transformers and diffusers."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.bases import base_model
from trainer.bases.base_model import BaseModel, BaseModelError


@pytest.fixture
def folder(assets: Path, tmp_path: Path) -> Path:
    """A copy whose parts a test may spoil."""
    return shutil.copytree(assets / "micro-sd", tmp_path / "base")


def test_the_shipped_model_passes(assets: Path) -> None:
    base_model.check(assets / "micro-sd")


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="no base model here"):
        base_model.check(tmp_path / "nowhere")


@pytest.mark.parametrize("part", ["tokenizer", "text_encoder", "vae", "unet", "scheduler"])
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    with pytest.raises(BaseModelError, match=f"lacks the folder {part}/"):
        base_model.check(folder)


def test_pickled_weights_are_refused(folder: Path) -> None:
    for file in (folder / "unet").glob("*.safetensors"):
        file.rename(file.with_suffix(".bin"))
    with pytest.raises(
        BaseModelError, match=r"unet: there is no \.safetensors file, only .*; pickled weights"
    ):
        base_model.check(folder)


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin", ".pth"])
def test_a_pickle_file_is_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"model{suffix}"
    file.write_bytes(b"x")
    with pytest.raises(BaseModelError, match="can run code"):
        base_model.check(file)


def test_another_pipeline_is_refused(folder: Path) -> None:
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "KandinskyPipeline"}))
    with pytest.raises(
        BaseModelError, match=r"StableDiffusionXLPipeline \(SDXL\) or .*, but got 'KandinskyPipeline'"
    ):
        base_model.check(folder)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_broken_index_is_told(folder: Path, text: str) -> None:
    (folder / "model_index.json").write_text(text)
    with pytest.raises(BaseModelError, match="not valid JSON"):
        base_model.check(folder)


def test_truncated_weights_are_told_in_a_sentence(folder: Path) -> None:
    (file,) = (folder / "unet").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BaseModelError, match=r"not a whole \.safetensors file"):
        base_model.load(folder)


def test_the_fingerprint_follows_the_weights_and_not_the_place(
    folder: Path, pristine_base: BaseModel
) -> None:
    assert base_model.fingerprint(folder) == pristine_base.fingerprint
    (file,) = (folder / "unet").glob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    assert base_model.fingerprint(folder) != pristine_base.fingerprint


def test_everything_is_frozen(pristine_base: BaseModel) -> None:
    for model in (pristine_base.unet, pristine_base.vae, pristine_base.text_encoder):
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_text_read_at_its_last_layer_is_what_the_text_encoder_says(pristine_base: BaseModel) -> None:
    captions = ["a red heart", "a drum, blue"]
    tokens = pristine_base.tokenizer(
        captions, padding="max_length", max_length=77, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        wanted = pristine_base.text_encoder(tokens).last_hidden_state
        found = pristine_base.encode_text(captions, [1, 1]).embeddings
    assert found.shape[1] == 77
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("clip_skip", [1, 2, 3])
def test_clip_skip_equals_a_text_encoder_without_its_last_layers(
    pristine_base: BaseModel, clip_skip: int
) -> None:
    shortened = copy.deepcopy(pristine_base.text_encoder)
    shortened.encoder.layers = shortened.encoder.layers[: 1 - clip_skip or None]
    tokens = pristine_base.tokenizer(
        ["a red heart"], padding="max_length", max_length=77, return_tensors="pt"
    )
    wanted = shortened(tokens.input_ids).last_hidden_state
    found = pristine_base.encode_text(["something else", "a red heart"], [1, clip_skip])[1:]
    torch.testing.assert_close(found.embeddings, wanted, rtol=0, atol=1e-5)


def test_long_captions_are_cut_to_the_window(pristine_base: BaseModel) -> None:
    with torch.no_grad():
        assert pristine_base.encode_text(["word " * 200], [1]).embeddings.shape[1] == 77


def test_images_go_through_the_autoencoder_and_back(pristine_base: BaseModel) -> None:
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = pristine_base.encode_image(pixels)
    with torch.no_grad():
        wanted = pristine_base.vae.encode(pixels).latent_dist.mean * pristine_base.vae.config.scaling_factor
        image = pristine_base.vae.decode(latents / pristine_base.vae.config.scaling_factor).sample
    torch.testing.assert_close(latents, wanted)
    torch.testing.assert_close(
        pristine_base.decode(latents), ((image + 1) / 2).clamp(0, 1), rtol=0, atol=1e-5
    )
    assert latents.shape == (2, 4, 64 // pristine_base.latent_scale, 64 // pristine_base.latent_scale)


def test_the_noise_schedule_is_that_of_stable_diffusion(pristine_base: BaseModel) -> None:
    betas = np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
    np.testing.assert_allclose(pristine_base.alphas_cumprod.numpy(), np.cumprod(1 - betas), rtol=1e-4)
    assert pristine_base.prediction_type == "epsilon"


def test_nan_latents_stay_nan_in_the_picture(pristine_base: BaseModel) -> None:
    assert pristine_base.decode(torch.full((1, 4, 16, 16), float("nan"))).isnan().all()


def test_precision_applies_to_the_networks_but_not_to_the_autoencoder(assets: Path) -> None:
    loaded = base_model.load(assets / "micro-sd", "bf16", torch.device("cpu"))
    assert loaded.unet.dtype == torch.bfloat16
    assert next(loaded.text_encoder.parameters()).dtype == torch.bfloat16
    assert loaded.vae.dtype == torch.float32
