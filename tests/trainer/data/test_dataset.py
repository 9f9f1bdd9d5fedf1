"""The data set as a whole: read, split, sized, encoded once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import read_dataset
from trainer.base_model import BaseModel
from trainer.data import dataset
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset, Encoded, pixels
from trainer.data.images import DataError
from trainer.plan import DataPlan


@pytest.fixture
def folder(few_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(few_folder, tmp_path / "set")


def test_the_demonstration_set_is_sound(demo_dataset: Dataset) -> None:
    assert demo_dataset.warnings == ()
    assert len(demo_dataset.examples) >= 40
    sides = demo_dataset.split
    assert min(len(sides.validation), len(sides.test)) >= 6
    assert set(demo_dataset.sizes) == {(64, 64)}
    assert len(demo_dataset.deck.cards) == len(sides.train)
    assert demo_dataset.deck.repeats == 10


def test_the_fingerprint_changes_with_content_and_not_with_place(folder: Path, few_dataset: Dataset) -> None:
    assert read_dataset(folder).fingerprint == few_dataset.fingerprint
    renamed = folder / "1_fluent"
    first = sorted(renamed.glob("*.png"))[0]
    for suffix in (".png", ".txt"):
        first.with_suffix(suffix).rename(renamed / f"zzz{suffix}")
    assert read_dataset(folder).fingerprint == few_dataset.fingerprint
    (renamed / "zzz.txt").write_text("another caption")
    captioned = read_dataset(folder).fingerprint
    assert captioned != few_dataset.fingerprint
    renamed.rename(folder / "2_fluent")
    assert read_dataset(folder).fingerprint not in (captioned, few_dataset.fingerprint)


def test_a_renamed_file_stays_on_its_side(folder: Path) -> None:
    before = read_dataset(folder)
    held = before.examples[before.split.test[0]]
    held.path.rename(held.path.with_name("zzz.png"))
    after = read_dataset(folder)
    assert {after.examples[i].content for i in after.split.test} == {
        before.examples[i].content for i in before.split.test
    }


def test_copies_of_one_picture_are_too_few_to_split(tmp_path: Path) -> None:
    (tmp_path / "1_x").mkdir()
    for i in range(5):
        Image.new("RGB", (64, 64), (250, 10 + i % 2, 3)).save(tmp_path / "1_x" / f"{i}.png")
    with pytest.raises(DataError, match="only 1 different image"):
        read_dataset(tmp_path)


def test_with_buckets_every_image_gets_the_nearest_shape(folder: Path) -> None:
    images = sorted((folder / "1_fluent").glob("*.png"))
    Image.open(images[0]).convert("RGB").resize((300, 100)).save(images[0])
    plan = DataPlan(
        folder=folder,
        resolution=64,
        enable_bucket=True,
        min_bucket_reso=32,
        max_bucket_reso=128,
        bucket_reso_steps=16,
    )
    found = dataset.read(plan, (0.2, 0.2), 0)
    assert found.sizes[0] == (96, 32)
    assert set(found.sizes[1:]) == {(64, 64)}


def test_pixels_run_from_minus_one_to_one() -> None:
    array = np.zeros((2, 3, 3), dtype=np.uint8)
    array[0, 2] = (255, 127, 0)
    tensor = pixels(Image.fromarray(array))
    assert tensor.shape == (3, 2, 3)
    assert tensor[:, 0, 2].tolist() == pytest.approx([1.0, -1 / 255, -1.0])


def test_latents_are_those_of_the_autoencoder_and_made_once(
    few_dataset: Dataset, pristine_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = Encoded(few_dataset, pristine_base, TensorCache(tmp_path))
    picture = Image.open(few_dataset.examples[2].path).convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    small = np.asarray(white.resize((64, 64), Image.Resampling.LANCZOS))
    array = torch.tensor(small).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        wanted = pristine_base.vae.encode(array).latent_dist.mean[0] * pristine_base.vae.config.scaling_factor
    first = encoded.latents(2)
    torch.testing.assert_close(first, wanted, rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(Encoded, "_encode", lambda *_: pytest.fail("encoded again"))
    assert torch.equal(encoded.latents(2), first)
    assert torch.equal(Encoded(few_dataset, pristine_base, TensorCache(tmp_path)).latents(2), first)


def test_text_is_that_of_the_text_encoder(
    few_dataset: Dataset, pristine_base: BaseModel, encode: Callable[[Dataset, BaseModel], Encoded]
) -> None:
    encoded = encode(few_dataset, pristine_base)
    for _ in range(2):
        found = encoded.text(["a heart", "a drum", "a heart"], [1, 1, 2])
        with torch.no_grad():
            wanted = pristine_base.encode_text(["a heart", "a drum", "a heart"], [1, 1, 2])
        torch.testing.assert_close(found.embeddings, wanted.embeddings, rtol=0, atol=1e-5)


def test_shuffled_captions_do_not_fill_the_memory(
    few_dataset: Dataset,
    pristine_base: BaseModel,
    encode: Callable[[Dataset, BaseModel], Encoded],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dataset, "RESIDENT_TEXTS", 3)
    encoded = encode(few_dataset, pristine_base)
    made: list[str] = []
    embed = Encoded._embed
    monkeypatch.setattr(Encoded, "_embed", lambda self, c, s: (made.append(c), embed(self, c, s))[1])
    for caption in "abacada":
        encoded.text([caption], [1])
    assert made == list("abcd")
    encoded.text(["b"], [1])
    assert made == list("abcdb")
