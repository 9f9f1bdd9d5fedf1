"""The data set as a whole: read, split, sized, encoded once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tests.conftest import read_dataset
from trainer.bases.base_model import BaseModel
from trainer.bases.prompts import PromptRules
from trainer.data import dataset
from trainer.data.augmentation import View, drawn, show
from trainer.data.caches import TensorCache
from trainer.data.dataset import Dataset, pixels
from trainer.data.encoded import Encoded
from trainer.data.images import DataError, open_rgb
from trainer.plans.data import DataPlan


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
    monkeypatch.setattr("trainer.data.encoded.RESIDENT_TEXTS", 3)
    encoded = encode(few_dataset, pristine_base)
    made: list[str] = []
    embed = Encoded._embed
    monkeypatch.setattr(Encoded, "_embed", lambda self, c, s: (made.append(c), embed(self, c, s))[1])
    for caption in "abacada":
        encoded.text([caption], [1])
    assert made == list("abcd")
    encoded.text(["b"], [1])
    assert made == list("abcdb")


@pytest.fixture
def reg_folder(demo_folder: Path, tmp_path: Path) -> Path:
    """Four other demonstration images, mirrored, in ``3_thing``."""
    folder = tmp_path / "reg" / "3_thing"
    folder.mkdir(parents=True)
    for image in sorted(demo_folder.glob("*/*.png"))[20:24]:
        ImageOps.mirror(open_rgb(image)).save(folder / image.name)
    return tmp_path / "reg"


def reading(folder: Path, folds: int = 0, **fields: object) -> Dataset:
    return dataset.read(DataPlan(folder=folder, resolution=64, **fields), (0.2, 0.2), 0, folds)  # type: ignore[arg-type]


def test_regularisation_images_are_on_no_side_and_in_the_deck(
    folder: Path, reg_folder: Path, few_dataset: Dataset
) -> None:
    found = reading(folder, reg_folder=reg_folder)
    assert found.split == few_dataset.split
    assert found.regularisation == (9, 10, 11, 12)
    assert found.deck.regularisation == (9, 10, 11, 12)
    assert found.deck.cards == few_dataset.deck.cards
    assert {found.examples[i].caption for i in found.regularisation} == {"thing"}
    assert len(found.sizes) == 13


def test_the_fingerprint_covers_regularisation_images_and_caption_rules(
    folder: Path, reg_folder: Path, few_dataset: Dataset
) -> None:
    found = [few_dataset.fingerprint, reading(folder, reg_folder=reg_folder).fingerprint]
    (reg_folder / "3_thing").rename(reg_folder / "3_other")
    found.append(reading(folder, reg_folder=reg_folder).fingerprint)
    for rules in ({}, {"keep_tokens": 1}, {"caption_dropout": 0.1}):
        concepts = folder / "concepts.json"
        concepts.write_text(json.dumps([{"instance_data_dir": "1_fluent", "instance_prompt": "x", **rules}]))
        plan = DataPlan(concepts=concepts, resolution=64)
        found.append(dataset.read(plan, (0.2, 0.2), 0).fingerprint)
    assert found[3] == few_dataset.fingerprint
    assert len(set(found)) == 5


def test_a_fold_holds_out_its_own_images_and_is_named_in_an_error(folder: Path) -> None:
    found = reading(folder, folds=3)
    assert found.fold(None) is found
    sides = [found.fold(i).split for i in range(3)]
    held = [i for side in sides for i in side.validation]
    assert sorted([*held, *found.split.test]) == list(range(9))
    assert set(found.fold(1).deck.cards) == set(sides[1].train)
    with pytest.raises(DataError, match=r"less than the number of folds \(3\), but got 3"):
        found.fold(3)
    with pytest.raises(DataError, match="folds must be from 2"):
        reading(folder, folds=9)


def test_without_enlarging_the_sizes_follow_from_the_images(folder: Path) -> None:
    images = sorted((folder / "1_fluent").glob("*.png"))
    open_rgb(images[0]).resize((40, 50)).save(images[0])
    small = {"enable_bucket": True, "min_bucket_reso": 32, "bucket_reso_steps": 16, "bucket_no_upscale": True}
    assert reading(folder, **small).sizes[0] == (32, 48)
    open_rgb(images[0]).resize((40, 10)).save(images[0])
    with pytest.raises(DataError, match="40 x 10 pixels"):
        reading(folder, **small)


def test_small_and_uncaptioned_images_are_warned_about(folder: Path) -> None:
    images = sorted((folder / "1_fluent").glob("*.png"))
    open_rgb(images[0]).resize((40, 50)).save(images[0])
    images[1].with_suffix(".txt").unlink()
    small, bare, *_ = [w for w in reading(folder).warnings if "blurred" not in w]
    assert images[0].name in small and "smaller than their training size" in small
    assert images[1].name in bare and "1 of 9 images have no caption" in bare


def views_of(found: Dataset, example: int, **augmentation: object) -> list[tuple[int, View]]:
    plan = DataPlan(folder=".", **augmentation)  # type: ignore[arg-type]
    facts = found.examples[example].size, found.sizes[example]
    return [(example, drawn(plan, 0, p, *facts)) for p in range(12)]


@pytest.mark.parametrize("mode", ["memory", "disk", "off"])
def test_latents_are_kept_where_asked(
    folder: Path, pristine_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    found = reading(folder, cache_latents=mode)
    made: list[int] = []
    encode = Encoded._encode
    monkeypatch.setattr(Encoded, "_encode", lambda self, s: (made.append(len(s)), encode(self, s))[1])
    shown = views_of(found, 2, flip=True)
    for _ in range(2):
        encoded = Encoded(found, pristine_base, TensorCache(tmp_path / "cache"))
        for _ in range(2):
            latents = encoded.presented(shown)
    straight, turned = (
        next(i for i, s in enumerate(shown) if s[1].flipped is flip) for flip in (False, True)
    )
    assert not torch.equal(latents[straight], latents[turned])
    assert len({latent.sum().item() for latent in latents}) == 2
    assert made == {"disk": [1, 1], "memory": [1, 1, 1, 1], "off": [2, 2, 2, 2]}[mode]
    assert (tmp_path / "cache").exists() == (mode == "disk")


def test_augmented_views_are_encoded_together_once_for_all_rows_and_not_kept(
    few_dataset: Dataset, pristine_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = Encoded(few_dataset, pristine_base, TensorCache(tmp_path))
    made: list[int] = []
    encode = Encoded._encode
    monkeypatch.setattr(Encoded, "_encode", lambda self, s: (made.append(len(s)), encode(self, s))[1])
    shown = [views_of(few_dataset, i, colour_jitter=0.3, rotation_degrees=10)[i] for i in (0, 1, 2)]
    found = encoded.presented(shown * 3)
    assert made == [3]
    assert torch.equal(found[1], found[4])
    picture = show(open_rgb(few_dataset.examples[1].path), shown[1][1])
    wanted = pristine_base.encode_image(pixels(picture)[None])[0]
    torch.testing.assert_close(found[1], wanted, rtol=0, atol=1e-4)
    encoded.presented([*shown, *(views_of(few_dataset, i, colour_jitter=0.1)[5] for i in (0, 1))])
    assert made == [3, 4, 1]


def test_texts_have_the_length_and_weights_that_the_plan_asks_for(
    folder: Path, pristine_base: BaseModel, tmp_path: Path
) -> None:
    (caption := sorted((folder / "1_fluent").glob("*.txt"))[0]).write_text("a " * 100)
    lengths = {}
    for length in (75, 150, 225):
        for pad in (True, False):
            found = reading(folder, max_token_length=length, pad_tokens=pad)
            encoded = Encoded(found, pristine_base, TensorCache(tmp_path))
            lengths[length, pad] = encoded.text(["a heart"], [1]).embeddings.shape[1]
    assert lengths == {
        (75, True): 77,
        (75, False): 77,
        (150, True): 152,
        (150, False): 152,
        (225, True): 227,
        (225, False): 152,
    }
    caption.write_text("short")
    found = reading(folder, max_token_length=225, pad_tokens=False, weighted_captions=True)
    encoded = Encoded(found, pristine_base, TensorCache(tmp_path))
    plain, weighted = encoded.text(["a heart", "a (heart:2)"], [1, 1]).embeddings
    assert plain.shape[0] == 77
    with torch.no_grad():
        alone = pristine_base.encode_text(["a (heart:2)"], [1], PromptRules(weighted=True))
    assert torch.equal(weighted, alone.embeddings[0])
    assert not torch.allclose(plain, weighted)


def test_a_prior_loss_weight_without_a_class_folder_is_told(folder: Path) -> None:
    concepts = folder / "concepts.json"
    concepts.write_text(json.dumps([{"instance_data_dir": "1_fluent"}]))
    with pytest.raises(DataError, match="no concept has a class_data_dir"):
        dataset.read(DataPlan(concepts=concepts, prior_loss_weight=0.5), (0.2, 0.2), 0)
