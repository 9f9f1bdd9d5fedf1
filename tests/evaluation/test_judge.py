"""The judge's cards against measurements made one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from evaluation.encoders import ClipEncoder, Seen
from evaluation.judge import Judge
from evaluation.panel import Panel
from evaluation.rendering import RenderSettings, render
from evaluation.subject import Subject
from evaluation.validation import cells, measure
from tests.evaluation.conftest import SUBJECTS, Stand
from tests.words import sentence_of
from trainer.data.images import open_rgb
from trainer.seeds import derive

SETTINGS = RenderSettings(steps=2, guidance=3.0, width=64, height=64)
PROMPTS = ("a red heart", "a red heart", "a frog")


@pytest.fixture(scope="module")
def judge(stand: Stand, assets: Path) -> Judge:
    clip = ClipEncoder(str(assets / "micro-clip"), torch.device("cpu"))
    split = stand.data.dataset.split
    panel = Panel(split.validation, split.train[:2], PROMPTS, 4, seed=5, settings=SETTINGS, max_rows=24)
    return Judge(stand.data, stand.bank, panel, clip)


def test_the_base_scores_nothing_against_itself(judge: Judge) -> None:
    ((card, _),) = judge.score([Subject(None)])
    assert card.validation.mean == pytest.approx(0, abs=1e-6)
    assert card.difference("clip_text") is not None
    assert card.metrics["clip_text"].difference.mean == pytest.approx(0, abs=1e-4)
    assert card.difference("clip_image") is not None
    assert card.metrics["clip_image"].difference.mean == pytest.approx(0, abs=1e-4)


def test_validation_is_the_mean_log_ratio_over_the_cells(judge: Judge, stand: Stand) -> None:
    scored = judge.score(SUBJECTS)
    split = stand.data.dataset.split
    for examples, name in ((split.validation, "validation"), (split.train[:2], "training")):
        grid = [cells(stand.data, i, 4, seed=5) for i in examples]
        base = measure(stand.data, stand.bank, [Subject(None)], grid, 99)[0]
        for subject, (card, _) in zip(SUBJECTS, scored, strict=True):
            loss = measure(stand.data, stand.bank, [subject], grid, 99)[0]
            ratio = (loss / base).log()
            assert getattr(card, name).mean == pytest.approx(float(ratio.mean()), abs=1e-4)
            if name == "validation":
                assert card.validation_by_image == pytest.approx(ratio.mean(1).tolist(), abs=1e-4)
                assert card.validation_by_timestep == pytest.approx(ratio.mean(0).tolist(), abs=1e-4)


def test_clip_scores_are_differences_to_the_bases_renders(judge: Judge, stand: Stand, assets: Path) -> None:
    clip = ClipEncoder(str(assets / "micro-clip"), torch.device("cpu"))
    ((card, pictures),) = judge.score([Subject(0)])
    seeds = [derive(5, "prompt", i) for i in range(3)]
    with_lora, without = render(
        stand.data, stand.bank, [Subject(0), Subject(None)], PROMPTS, seeds, SETTINGS, 99
    )
    torch.testing.assert_close(pictures, with_lora, rtol=0, atol=1e-3)
    texts = torch.nn.functional.normalize(clip.texts(PROMPTS))
    held_out = [open_rgb(stand.data.dataset.examples[i].path) for i in stand.data.dataset.split.validation]
    references = torch.nn.functional.normalize(torch.cat([embedded(clip, image) for image in held_out]))

    def scores(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = torch.nn.functional.normalize(clip.images(images))
        return 100 * (found * texts).sum(1).clamp(min=0), (100 * found @ references.T).mean(1)

    (text, image), (base_text, base_image) = scores(with_lora), scores(without)
    weights = torch.tensor([0.25, 0.25, 0.5])  # two renders of one prompt count as one
    assert card.metrics["clip_text"].value == pytest.approx(float(text @ weights), abs=0.05)
    assert card.metrics["clip_image"].value == pytest.approx(float(image @ weights), abs=0.05)
    assert card.metrics["clip_image"].base == pytest.approx(float(base_image @ weights), abs=0.05)
    assert card.difference("clip_text") is not None
    assert card.metrics["clip_text"].difference.mean == pytest.approx(
        float((text - base_text) @ weights), abs=0.05
    )
    assert card.difference("clip_image") is not None
    assert card.metrics["clip_image"].difference.mean == pytest.approx(
        float((image - base_image) @ weights), abs=0.05
    )


def test_diversity_memorisation_and_flexibility_are_those_of_the_renders(stand: Stand, assets: Path) -> None:
    clip = ClipEncoder(str(assets / "micro-clip"), torch.device("cpu"))
    split, outside = stand.data.dataset.split, ("a bell", "a sun")
    panel = Panel(
        split.validation,
        (),
        PROMPTS,
        3,
        seed=5,
        settings=SETTINGS,
        max_rows=24,
        training=split.train,
        outside=outside,
    )
    judge = Judge(stand.data, stand.bank, panel, clip)
    (asked, pictures), (unasked, _) = judge.score([Subject(0), Subject(1)], asked=[0])
    found = torch.nn.functional.normalize(clip.images(pictures)).double()
    assert asked.metrics["diversity"].value == pytest.approx(100 * (1 - float(found[0] @ found[1])), abs=0.05)
    assert asked.difference("diversity") is not None
    assert asked.metrics["diversity"].difference.standard_error == float(
        "inf"
    )  # one prompt alone has two seeds
    examples = stand.data.dataset.examples
    train, held_out = (
        found @ torch.cat([embedded(clip, open_rgb(examples[i].path)) for i in side]).double().T
        for side in (split.train, split.validation)
    )
    assert asked.nearest_training == tuple(split.train[int(i)] for i in train.argmax(1))
    best_of_two = torch.tensor(  # the smaller side has two images, all of which are seen
        [[max(row[i], row[j]) for i in range(5) for j in range(i)] for row in train.tolist()]
    ).mean(1)
    expected = 100 * (best_of_two - held_out.amax(1))
    assert asked.metrics["memorisation"].value == pytest.approx(
        float(expected.float() @ torch.tensor([0.25, 0.25, 0.5])), abs=0.05
    )
    seeds = [derive(5, "outside", i) for i in range(2)]
    drawn = render(stand.data, stand.bank, [Subject(0), Subject(None)], outside, seeds, SETTINGS, 99)
    texts = torch.nn.functional.normalize(clip.texts(outside))
    with_lora, without = (
        (100 * (torch.nn.functional.normalize(clip.images(images)) * texts).sum(1)).clamp(min=0)
        for images in drawn
    )
    assert asked.difference("flexibility") is not None
    assert asked.metrics["flexibility"].difference.mean == pytest.approx(
        float((with_lora - without).mean()), abs=0.05
    )
    assert asked.metrics["flexibility"].base == pytest.approx(float(without.mean()), abs=0.05)
    assert unasked.difference("flexibility") is None
    assert unasked.difference("diversity") is not None


def test_another_image_encoder_compares_pictures_in_clips_place(stand: Stand, assets: Path) -> None:
    class Colour:
        def see(self, images: torch.Tensor) -> Seen:
            colours = images.nan_to_num().mean(dim=(2, 3))
            return Seen(colours, colours[:, None])

    clip = ClipEncoder(str(assets / "micro-clip"), torch.device("cpu"))
    panel = Panel(stand.data.dataset.split.validation, (), PROMPTS, 3, 5, SETTINGS, 24)
    ((card, pictures),) = Judge(stand.data, stand.bank, panel, clip, Colour()).score([Subject(0)])
    ((plain, _),) = Judge(stand.data, stand.bank, panel, clip).score([Subject(0)])
    a, b = (torch.nn.functional.normalize(pictures[i].mean(dim=(1, 2)), dim=0) for i in (0, 1))
    assert card.metrics["diversity"].value == pytest.approx(100 * (1 - float(a @ b)), abs=1e-3)
    assert card.difference("clip_text") == plain.difference("clip_text")
    assert card.difference("clip_image") != plain.difference("clip_image")
    ((blind, _),) = Judge(stand.data, stand.bank, panel, None, Colour()).score([Subject(0)])
    assert blind.difference("clip_text") is None
    assert blind.difference("clip_image") == card.difference("clip_image")


def test_the_way_to_the_real_images_ends_where_they_are_like_each_other(stand: Stand, assets: Path) -> None:
    clip = ClipEncoder(str(assets / "micro-clip"), torch.device("cpu"))
    split = stand.data.dataset.split
    panel = Panel(split.validation, (), PROMPTS, 3, 5, SETTINGS, 24, training=split.train)
    judge = Judge(stand.data, stand.bank, panel, clip)
    paths = (stand.data.dataset.examples[i].path for i in split.validation)
    first, second = (embedded(clip, open_rgb(path)) for path in paths)
    alike = 100 * float(first @ second.T)
    found, base = judge.ways(), judge.base.figures
    assert found["clip_image"] == pytest.approx(alike - float(base["clip_image"][0].mean()), abs=0.05)
    assert found["style"] == pytest.approx(-float(base["style"][0].mean()))
    assert found["validation"] == pytest.approx(float(judge.caption_gain().mean()))
    assert found.keys() == {"validation", "clip_image", "style"}


def embedded(clip: ClipEncoder, image: object) -> torch.Tensor:
    import numpy as np
    from PIL import Image

    assert isinstance(image, Image.Image)
    array = np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS))
    found = clip.images(torch.tensor(array).permute(2, 0, 1)[None] / 255)
    return torch.nn.functional.normalize(found)


def test_the_same_prompt_twice_gets_two_seeds(judge: Judge) -> None:
    ((_, pictures),) = judge.score([Subject(None)])
    assert float((pictures[0] - pictures[1]).abs().max()) > 0.05


def test_a_lora_of_nan_is_unusable_and_spares_the_others(judge: Judge, stand: Stand) -> None:
    ((alone, _),) = judge.score([Subject(0)])
    kept = stand.bank.state(2)
    stand.bank.load(2, {name: value * float("nan") for name, value in kept.items()})
    (beside, _), (sick, _) = judge.score([Subject(0), Subject(2)])
    stand.bank.load(2, kept)
    assert sentence_of(sick.unusable) == "the validation loss is NaN or infinite"
    assert sick.broken == sick.renders == 3
    assert beside.unusable is None
    assert beside.validation.mean == pytest.approx(alone.validation.mean, abs=1e-5)


def test_without_clip_and_prompts_there_is_validation_alone(stand: Stand) -> None:
    panel = Panel(stand.data.dataset.split.validation, (), (), 3, seed=0, settings=SETTINGS, max_rows=8)
    ((card, pictures),) = Judge(stand.data, stand.bank, panel, None).score([Subject(0)])
    assert card.differences().keys() == {"validation"}
    assert card.training is None
    assert (card.renders, card.broken) == (0, 0)
    assert pictures.shape == (0, 3, 64, 64)
