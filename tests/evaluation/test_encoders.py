"""CLIP embeddings and scores against transformers and torchmetrics."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import torch
from torchmetrics.multimodal import CLIPScore
from transformers import BitImageProcessor, CLIPModel, CLIPProcessor, Dinov2Config, Dinov2Model

from evaluation import encoders
from evaluation.encoders import PICTURES_AT_ONCE, ClipEncoder, EncoderError, VisionEncoder, fingerprint
from evaluation.metrics.similarity import image_image, text_image

PROMPTS = ["a red heart", "a blue drum, isolated", "a frog"]


@pytest.fixture(scope="module")
def clip(assets: Path) -> ClipEncoder:
    return ClipEncoder(str(assets / "micro-clip"), torch.device("cpu"))


@pytest.fixture(scope="module")
def renders() -> torch.Tensor:
    return (torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255).round() / 255


class Pooled(torch.nn.Module):
    """CLIP whose features are tensors, as torchmetrics 1.9 expects."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        self.config = self.model.config

    def get_image_features(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        found: torch.Tensor = self.model.get_image_features(*args, **kwargs).pooler_output
        return found

    def get_text_features(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        found: torch.Tensor = self.model.get_text_features(*args, **kwargs).pooler_output
        return found


def test_text_similarity_is_that_of_torchmetrics(
    clip: ClipEncoder, renders: torch.Tensor, assets: Path
) -> None:
    folder = assets / "micro-clip"
    ours = text_image(clip.images(renders), clip.texts(PROMPTS))
    for i, prompt in enumerate(PROMPTS):
        metric = CLIPScore(lambda: (Pooled(folder), CLIPProcessor.from_pretrained(folder)))
        theirs = metric((renders[i] * 255).to(torch.uint8), prompt)
        assert float(ours[i]) == pytest.approx(float(theirs.detach()), abs=1e-3)


def test_image_similarity_is_that_of_torchmetrics_where_that_is_positive(
    clip: ClipEncoder, renders: torch.Tensor, assets: Path
) -> None:
    folder = assets / "micro-clip"
    references = renders.flip(0)[:2] * 0.5
    ours = image_image(clip.images(renders[:1]), clip.images(references))
    scores = []
    for reference in references:
        metric = CLIPScore(lambda: (Pooled(folder), CLIPProcessor.from_pretrained(folder)))
        quantised = (reference * 255).round().to(torch.uint8)
        scores.append(float(metric((renders[0] * 255).to(torch.uint8), quantised).detach()))
    assert float(ours[0]) == pytest.approx(sum(scores) / 2, abs=1e-3)


def test_an_image_is_most_like_itself(clip: ClipEncoder, renders: torch.Tensor) -> None:
    assert image_image(clip.images(renders[:1]), clip.images(renders[:1])).item() == pytest.approx(
        100, abs=1e-3
    )


def test_broken_renders_can_be_embedded(clip: ClipEncoder) -> None:
    assert clip.images(torch.full((1, 3, 64, 64), float("nan"))).isfinite().all()


def test_long_prompts_are_cut_and_short_ones_padded_alike(clip: ClipEncoder) -> None:
    together = clip.texts(["a frog", "word " * 300])
    torch.testing.assert_close(together[:1], clip.texts(["a frog"]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["/nowhere/clip", "no-such-owner/no-such-clip"])
def test_a_missing_clip_is_told_in_a_sentence(name: str) -> None:
    with pytest.raises(EncoderError, match=r"judge\.clip: .* is not a CLIP folder or hub name"):
        ClipEncoder(name, torch.device("cpu"))


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DINOv2 of one layer with random weights, in transformers layout."""
    folder = tmp_path_factory.mktemp("dino")
    config = Dinov2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Dinov2Model(config).save_pretrained(folder)
    size = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}}
    BitImageProcessor(**size).save_pretrained(folder)
    return folder


def test_a_dino_embeds_by_its_class_token(dino: Path, renders: torch.Tensor) -> None:
    ours = VisionEncoder(str(dino), torch.device("cpu")).images(renders)
    model = Dinov2Model.from_pretrained(dino).eval()
    pictures = [(image * 255).byte().permute(1, 2, 0).numpy() for image in renders]
    inputs = BitImageProcessor.from_pretrained(dino)(images=pictures, return_tensors="pt")
    with torch.no_grad():
        theirs = model(**inputs).last_hidden_state[:, 0]
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_style_is_read_from_the_first_layers_and_says_little_of_places(dino: Path, clip: ClipEncoder) -> None:
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    turned, darker = picture.flip(-1), picture / 2
    first, mirrored, dark = clip.see(torch.cat([picture, turned, darker])).style
    assert first.shape == (2, 256), "the start and the first of four"
    assert torch.dist(first, mirrored) < torch.dist(first, dark)
    assert VisionEncoder(str(dino), torch.device("cpu")).see(picture).style.shape == (1, 2, 32)


def test_a_convolutional_network_has_styles_too(tmp_path: Path) -> None:
    from transformers import ResNetConfig, ResNetModel

    ResNetModel(ResNetConfig(embedding_size=4, hidden_sizes=[4, 6, 8, 8], depths=[1] * 4)).save_pretrained(
        tmp_path
    )
    size = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    BitImageProcessor(**size).save_pretrained(tmp_path)
    seen = VisionEncoder(str(tmp_path), torch.device("cpu")).see(torch.rand(2, 3, 64, 64))
    assert (seen.content.shape, seen.style.shape) == ((2, 8), (2, 2, 8))


@pytest.mark.parametrize("kind", [ClipEncoder, VisionEncoder])
def test_half_precision_tells_pictures_apart_alike(
    kind: type[ClipEncoder | VisionEncoder],
    renders: torch.Tensor,
    assets: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, device = str(assets / "micro-clip"), torch.device("cpu")
    whole = kind(folder, device).see(renders)
    monkeypatch.setattr(encoders, "HALF_ON", "cpu")
    half = kind(folder, device).see(renders)
    assert half.content.dtype is half.style.dtype is torch.float32
    assert not torch.equal(half.content, whole.content)
    assert torch.nn.functional.cosine_similarity(half.content, whole.content).min() > 0.9999
    torch.testing.assert_close(half.style, whole.style, atol=1e-2, rtol=1e-2)


def test_many_pictures_are_embedded_in_parts(dino: Path, renders: torch.Tensor) -> None:
    many = renders.repeat(PICTURES_AT_ONCE // 3 + 2, 1, 1, 1)
    found = VisionEncoder(str(dino), torch.device("cpu")).images(many)
    assert found.shape == (len(many), 16)
    torch.testing.assert_close(found[:3], found[-3:], rtol=1e-4, atol=1e-5)


def test_clip_may_be_the_image_encoder(clip: ClipEncoder, renders: torch.Tensor, assets: Path) -> None:
    found = VisionEncoder(str(assets / "micro-clip"), torch.device("cpu")).images(renders)
    torch.testing.assert_close(found, clip.images(renders))


@pytest.mark.parametrize("name", ["/nowhere/dino", "no-such-owner/no-such-dino"])
def test_a_missing_image_encoder_is_told_in_a_sentence(name: str) -> None:
    with pytest.raises(EncoderError, match=rf"judge\.image_encoder: '{name}' is not the folder or hub name"):
        VisionEncoder(name, torch.device("cpu"))


def test_what_does_not_read_pictures_is_no_image_encoder(assets: Path) -> None:
    with pytest.raises(EncoderError, match=r"judge\.image_encoder: .*text_encoder"):
        VisionEncoder(str(assets / "micro-sd" / "text_encoder"), torch.device("cpu"))


def test_a_fingerprint_is_of_the_contents_not_of_the_place(assets: Path, tmp_path: Path) -> None:
    here, there = assets / "micro-clip", tmp_path / "clip"
    copytree(here, there)
    assert fingerprint(str(here)) == fingerprint(str(there))
    (there / "config.json").write_text("{}")
    assert fingerprint(str(here)) != fingerprint(str(there))
    assert fingerprint("openai/clip-vit-base-patch32") == "openai/clip-vit-base-patch32"
