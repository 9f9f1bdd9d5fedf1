"""A tiny image-to-text model made here, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

from trainer.bases.captioner import Captioner, CaptionerError

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def tiny_captioner(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision encoder-decoder of a few thousand random weights, saved as people save theirs."""
    return make_captioner(assets, tmp_path_factory.mktemp("captioner"))


def make_captioner(assets: Path, folder: Path) -> Path:
    from transformers import (
        AutoTokenizer,
        GPT2Config,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTImageProcessor,
    )

    tokenizer = AutoTokenizer.from_pretrained(assets / "micro-sd" / "tokenizer")
    encoder = ViTConfig(
        image_size=32,
        patch_size=16,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    decoder = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        encoder,
        decoder,
        decoder_start_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VisionEncoderDecoderModel(config)
    model.generation_config.decoder_start_token_id = tokenizer.bos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_a_picture_is_described_as_the_model_says(tiny_captioner: Path) -> None:
    from transformers import AutoTokenizer, VisionEncoderDecoderModel, ViTImageProcessor

    captioner = Captioner(str(tiny_captioner), CPU, max_tokens=6)
    image = Image.new("RGB", (40, 50), (200, 30, 90))
    found = captioner.describe(image)
    model = VisionEncoderDecoderModel.from_pretrained(tiny_captioner).eval()
    pixels = ViTImageProcessor.from_pretrained(tiny_captioner)(image, return_tensors="pt").pixel_values
    start = model.config.decoder_start_token_id
    tokens = torch.tensor([[start]])
    with torch.no_grad():
        for _ in range(6):
            said = model(pixel_values=pixels, decoder_input_ids=tokens).logits[:, -1].argmax(-1)
            tokens = torch.cat([tokens, said[:, None]], dim=1)
    wanted = AutoTokenizer.from_pretrained(tiny_captioner).decode(tokens[0], skip_special_tokens=True)
    assert found == " ".join(wanted.split())
    assert found
    assert captioner.describe(image) == found


def test_a_model_that_is_not_here_is_told_in_a_sentence() -> None:
    with pytest.raises(CaptionerError, match="neither in the hub cache nor could it be fetched") as caught:
        Captioner("nobody/nothing", CPU)
    assert "\n" not in str(caught.value)


def test_another_kind_of_model_is_told_in_a_sentence(assets: Path) -> None:
    with pytest.raises(CaptionerError, match="is no image-to-text model") as caught:
        Captioner(str(assets / "micro-sd" / "text_encoder"), CPU)
    assert "\n" not in str(caught.value)
