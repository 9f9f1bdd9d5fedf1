"""What the data set check finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from trainer.data.images import Example
from trainer.data.quality import BLURRED_BELOW, covered, notes, shared_with, sharpness


def example(name: str, **facts: object) -> Example:
    told = {"caption": "a heart", "repeats": 1, "content": name, "size": (512, 512), "words": "heart"}
    return Example(Path(f"5_heart/{name}.png"), **{**told, **facts})  # type: ignore[arg-type]


def test_sharpness_is_the_variance_of_the_laplacian_by_hand() -> None:
    array = np.array([[0, 0, 0, 0], [0, 8, 4, 0], [0, 0, 0, 0]], dtype=np.uint8)
    assert sharpness(Image.fromarray(array)) == pytest.approx(np.var([4 - 32, 8 - 16]))
    assert sharpness(Image.new("RGB", (2, 2))) == 0


def test_a_blurred_picture_is_found_and_a_sharp_one_is_not() -> None:
    checks = (np.indices((256, 256)).sum(axis=0) // 16 % 2 * 200).astype(np.uint8)
    sharp = Image.fromarray(checks).convert("RGB")
    assert sharpness(sharp) > BLURRED_BELOW
    assert sharpness(sharp.filter(ImageFilter.GaussianBlur(8))) < BLURRED_BELOW


def test_a_sound_set_has_no_notes() -> None:
    assert notes([example("a"), example("b")], [(512, 512)] * 2, [[0], [1]], [100, 100]) == []


def test_each_finding_is_one_sentence_that_names_files() -> None:
    examples = [
        example("a", size=(100, 100)),
        example("b", caption="nothing"),
        example("c", captioned=False, caption="heart"),
        example("d", size=(256, 512)),
    ]
    found = notes(examples, [(512, 512)] * 4, [[0, 1], [2], [3]], [1, 100, 100, 1])
    assert len(found) == 5
    for sentence, words in zip(
        found,
        (
            ("a.png, 5_heart/b.png look alike",),
            ("a.png, 5_heart/d.png: 2 image(s) look blurred",),
            ("a.png, 5_heart/d.png: 2 image(s)", "5.1 times"),
            ("c.png: 1 of 4 images have no caption", "lorasearch caption"),
            ("5_heart: 'heart' stands in 3 of 4 captions",),
        ),
        strict=True,
    ):
        assert all(word in sentence for word in words), sentence


def test_many_files_are_counted_rather_than_named() -> None:
    (sentence,) = notes([example(str(i)) for i in range(9)], [(512, 512)] * 9, [[0]], [0] * 9)
    assert "5_heart/2.png and 6 more: 9 image(s)" in sentence


def test_trigger_words_are_counted_whatever_their_case() -> None:
    assert covered(["a Red Heart, x", "red", "RED HEART"], "red heart") == 2


def test_a_training_image_among_the_regularisation_images_is_told() -> None:
    assert shared_with([example("a")], [example("b")]) == []
    (sentence,) = shared_with([example("a")], [example("b"), example("c", content="a")])
    assert "c.png" in sentence
