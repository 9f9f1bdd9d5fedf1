"""CLIP embeddings and scores against transformers and torchmetrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torchmetrics.multimodal import CLIPScore
from transformers import CLIPModel, CLIPProcessor

from evaluation.encoders import ClipEncoder, EncoderError
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
