"""The judge on a device that takes few rows at a time: the same figures, however few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evaluation.encoders import PICTURES_AT_ONCE, ClipEncoder
from evaluation.rendering import RenderSettings, render
from evaluation.validation import cells, measure
from tests.evaluation.conftest import SUBJECTS, Stand
from trainer.bases.base_model import BaseModel
from trainer.data.dataset import Dataset
from trainer.data.encoded import Encoded
from trainer.limits import Limits

SETTINGS = RenderSettings(steps=2, guidance=4.0, width=64, height=64, guided=0.5)
PROMPTS, SEEDS = ["a red heart", "a drum", "a frog"], [11, 12, 13]


@pytest.fixture
def rows(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """How many rows each pass of U-Net and autoencoder had; what memory ran out of is forgotten."""
    monkeypatch.setattr(stand.data.base.residency, "limits", Limits())
    seen: dict[str, list[int]] = {"unet": [], "vae": []}
    watch(monkeypatch, stand.data.base.unet, "forward", seen["unet"], 99)
    watch(monkeypatch, stand.data.base.vae, "decode", seen["vae"], 99)
    return seen


def watch(patch: pytest.MonkeyPatch, network: nn.Module, name: str, seen: list[int], most: int) -> None:
    """Notes the rows of every pass that fits, and pretends that no more than ``most`` do."""
    whole: Callable[..., Any] = getattr(network, name)

    def passed(given: Tensor, *rest: Any, **named: Any) -> Any:
        if len(given) > most:
            raise torch.OutOfMemoryError("pretended")
        seen.append(len(given))
        return whole(given, *rest, **named)

    patch.setattr(network, name, passed)


def rendered(stand: Stand, max_rows: int) -> Tensor:
    return render(stand.data, stand.bank, SUBJECTS, PROMPTS, SEEDS, SETTINGS, max_rows)


def losses(stand: Stand, max_rows: int) -> Tensor:
    grid = [cells(stand.data, example, 3, 0) for example in stand.data.dataset.split.validation]
    return measure(stand.data, stand.bank, SUBJECTS, grid, max_rows)


@pytest.mark.parametrize("max_rows", [2, 3, 8])
def test_no_pass_has_more_rows_than_allowed_whoever_is_judged(
    stand: Stand, rows: dict[str, list[int]], max_rows: int
) -> None:
    all_at_once = rendered(stand, 99), losses(stand, 99)
    assert max(rows["unet"]) == 2 * len(SUBJECTS) * len(PROMPTS)
    rows["unet"].clear()
    pictures, errors = rendered(stand, max_rows), losses(stand, max_rows)
    assert max(rows["unet"]) == max_rows
    torch.testing.assert_close(pictures, all_at_once[0], rtol=0, atol=1e-3)
    torch.testing.assert_close(errors, all_at_once[1], rtol=1e-4, atol=0)


def test_where_memory_runs_out_rows_are_halved_and_the_figures_stay(
    stand: Stand, rows: dict[str, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    all_at_once = rendered(stand, 99), losses(stand, 99)
    seen: dict[str, list[int]] = {"unet": [], "vae": []}
    watch(monkeypatch, stand.data.base.unet, "forward", seen["unet"], 5)
    watch(monkeypatch, stand.data.base.vae, "decode", seen["vae"], 2)
    torch.testing.assert_close(rendered(stand, 99), all_at_once[0], rtol=0, atol=1e-3)
    torch.testing.assert_close(losses(stand, 99), all_at_once[1], rtol=1e-4, atol=0)
    assert max(seen["unet"]) <= 5
    assert max(seen["vae"]) <= 2


def test_latents_are_encoded_some_at_a_time_where_memory_runs_out(
    fresh_base: Callable[..., BaseModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = fresh_base()
    monkeypatch.setattr(base.residency, "limits", Limits())
    pixels = torch.rand(5, 3, 64, 64) * 2 - 1
    wanted, seen = base.encode_image(pixels), list[int]()
    watch(monkeypatch, base.vae, "encode", seen, 2)
    torch.testing.assert_close(base.encode_image(pixels), wanted, rtol=0, atol=1e-5)
    assert max(seen) == 2


def test_clip_sees_some_pictures_at_a_time_and_fewer_where_memory_runs_out(
    assets: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = ClipEncoder(str(assets / "micro-clip"), torch.device("cpu"))
    pictures = torch.rand(PICTURES_AT_ONCE + 3, 3, 64, 64)
    wanted, seen, features = clip.see(pictures), list[int](), clip._model.get_image_features

    def cramped(pixel_values: Tensor, **named: Any) -> Any:
        seen.append(len(pixel_values))
        if len(pixel_values) > 6:
            raise torch.OutOfMemoryError("pretended")
        return features(pixel_values=pixel_values, **named)

    monkeypatch.setattr(clip._model, "get_image_features", cramped)
    found = clip.see(pictures)
    assert seen[0] == PICTURES_AT_ONCE
    torch.testing.assert_close(found.content, wanted.content, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.style, wanted.style, rtol=0, atol=1e-5)


def test_a_data_set_is_encoded_though_memory_runs_out(
    fresh_base: Callable[..., BaseModel],
    few_dataset: Dataset,
    encode: Callable[[Dataset, BaseModel], Encoded],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = fresh_base()
    monkeypatch.setattr(base.residency, "limits", Limits())
    watch(monkeypatch, base.vae, "encode", [], 1)
    data = encode(few_dataset, base)
    assert data.latents(0).shape == (4, 16, 16)
