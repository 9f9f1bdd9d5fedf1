"""Data set files: N_name folders where they say the same, concepts where they do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from studies.errors import StudyError
from studies.sd_scripts.importing import Recipe, read
from tests.studies.conftest import ASSETS
from trainer.data import images as images_module
from trainer.data.folders import in_concepts

Pictures = Callable[..., Path]
CONFIG = f'pretrained_model_name_or_path = "{ASSETS / "micro-sd"}"\nmax_train_epochs = 3\nkeep_tokens = 0\n'


def imported(folder: Path, text: str, config: str = "") -> Recipe:
    (folder / "config.toml").write_text(CONFIG + config)
    (folder / "dataset.toml").write_text(text)
    return read(folder / "config.toml", folder / "dataset.toml")


def subset(folder: Path, *lines: str) -> str:
    return "\n".join(["[[datasets.subsets]]", f'image_dir = "{folder}"', *lines, ""])


def test_the_n_name_folders_of_one_place_are_a_folder(pictures: Pictures, tmp_path: Path) -> None:
    train = pictures("train/2_a", "train/3_b")
    text = "[[datasets]]\nresolution = 64\nbatch_size = 2\n"
    text += subset(train / "2_a", "num_repeats = 2") + subset(train / "3_b", "num_repeats = 3")
    recipe = imported(tmp_path, text)
    assert recipe.plan.data.folder == train
    assert recipe.plan.data.repeats is None
    assert (recipe.plan.data.resolution, recipe.plan.data.batch_size) == (64, 2)
    assert recipe.images.shown == 4 * 2 + 4 * 3
    assert recipe.images_per_trial == 3 * 20


def test_a_multiple_of_the_names_is_repeats(pictures: Pictures, tmp_path: Path) -> None:
    train = pictures("train/2_a", "train/4_b")
    text = (
        "[[datasets]]\n"
        + subset(train / "2_a", "num_repeats = 5")
        + subset(train / "4_b", "num_repeats = 10")
    )
    recipe = imported(tmp_path, text)
    assert recipe.plan.data.repeats == 5
    assert recipe.images.concepts is None


@pytest.mark.parametrize("line", ["num_repeats = 7", 'class_tokens = "other"'])
def test_other_repeats_or_class_words_are_concepts(line: str, pictures: Pictures, tmp_path: Path) -> None:
    train = pictures("train/2_a", "train/4_b")
    recipe = imported(tmp_path, "[[datasets]]\n" + subset(train / "2_a", line) + subset(train / "4_b"))
    assert recipe.images.concepts is not None
    assert len(recipe.images.concepts) == 2
    assert str(recipe.values["data.concepts"]) == "concepts.json"


def test_any_folder_is_a_concept_with_its_rules(pictures: Pictures, tmp_path: Path) -> None:
    pictures("one", "two", "dogs")
    text = "[general]\nshuffle_caption = true\n[[datasets]]\nkeep_tokens = 1\n"
    text += subset(tmp_path / "one", "num_repeats = 4", 'class_tokens = "sks dog"', "keep_tokens = 2")
    text += subset(tmp_path / "two", "caption_dropout_rate = 0.1")
    text += subset(tmp_path / "dogs", "is_reg = true", 'class_tokens = "dog"')
    recipe = imported(tmp_path, text)
    assert recipe.images.concepts == [
        {
            "instance_data_dir": str(tmp_path / "one"),
            "repeats": 4,
            "instance_prompt": "sks dog",
            "shuffle_caption": True,
            "keep_tokens": 2,
            "class_data_dir": str(tmp_path / "dogs"),
            "class_prompt": "dog",
        },
        {
            "instance_data_dir": str(tmp_path / "two"),
            "repeats": 1,
            "shuffle_caption": True,
            "keep_tokens": 1,
            "caption_dropout": 0.1,
        },
    ]
    assert recipe.images.shown == 4 * 4 + 4


def test_the_nearer_level_wins_and_the_configuration_comes_last(pictures: Pictures, tmp_path: Path) -> None:
    pictures("one")
    text = "[general]\nflip_aug = false\n[[datasets]]\nresolution = 64\n" + subset(
        tmp_path / "one", "flip_aug = true"
    )
    recipe = imported(tmp_path, text, 'resolution = "512,512"\ntrain_batch_size = 3\n')
    assert recipe.plan.data.flip
    assert (recipe.plan.data.resolution, recipe.plan.data.batch_size) == (64, 3)


def test_what_must_be_alike_and_is_not_is_named(pictures: Pictures, tmp_path: Path) -> None:
    pictures("one", "two")
    text = "[[datasets]]\n" + subset(tmp_path / "one", "flip_aug = true") + subset(tmp_path / "two")
    (unmet,) = imported(tmp_path, text).unmet
    assert unmet.key == "flip_aug"
    assert "True is taken (datasets[0].subsets[0] True, datasets[0].subsets[1] None)" in unmet.reason


def test_foreign_subsets_and_unknown_keys_are_named(pictures: Pictures, tmp_path: Path) -> None:
    pictures("one")
    text = "[[datasets]]\n" + subset(tmp_path / "one", "nonsense = 1")
    text += '[[datasets]]\n[[datasets.subsets]]\nconditioning_data_dir = "masks"\n'
    recipe = imported(tmp_path, text, 'train_data_dir = "x"\n')
    assert {str(unmet) for unmet in recipe.unmet} == {
        "datasets[1].subsets[0].conditioning_data_dir: not supported, the subset is left out",
        "nonsense: unknown",
        "train_data_dir: no effect here (the data set file says where the images are)",
    }


def test_masks_are_told_and_their_images_taken(pictures: Pictures, tmp_path: Path) -> None:
    pictures("one", "masks")
    text = "[[datasets]]\n" + subset(tmp_path / "one", f'conditioning_data_dir = "{tmp_path / "masks"}"')
    recipe = imported(tmp_path, text, "masked_loss = true\n")
    assert recipe.images.shown == 4
    assert {str(unmet) for unmet in recipe.unmet} == {
        "datasets[0].subsets[0].conditioning_data_dir: not supported, its images are trained on as a whole",
        "masked_loss: not supported",
    }


def test_why_no_subset_can_be_used_stands_in_the_error(pictures: Pictures, tmp_path: Path) -> None:
    text = '[[datasets]]\n[[datasets.subsets]]\nconditioning_data_dir = "masks"\n'
    with pytest.raises(StudyError, match=r"that can be used; .*conditioning_data_dir: not supported"):
        imported(tmp_path, text)


def test_captions_of_a_metadata_file_become_those_of_a_concept(pictures: Pictures, tmp_path: Path) -> None:
    pictures("one")
    images = sorted((tmp_path / "one").glob("*.png"))
    told = {
        images[0].stem: {"caption": "a red cat", "tags": "cat, red"},
        images[1].name: {"tags": "only tags"},
        str(images[2]): {"caption": "by its path"},
        "elsewhere/other": {"caption": "not here"},
    }
    (tmp_path / "meta.json").write_text(json.dumps(told))
    text = "[[datasets]]\n" + subset(tmp_path / "one", f'metadata_file = "{tmp_path / "meta.json"}"')
    recipe = imported(tmp_path, text)
    assert recipe.images.concepts is not None
    (tmp_path / "concepts.json").write_text(json.dumps(recipe.images.concepts))
    (source,) = in_concepts(tmp_path / "concepts.json", [])
    assert source.captions == {
        images[0]: "a red cat, cat, red",
        images[1]: "only tags",
        images[2]: "by its path",
    }
    assert source.images == tuple(images[:3])
    assert recipe.images.shown == 3 * source.repeats
    for shade, image in enumerate(images):
        Image.new("RGB", (64, 64), (40 * shade, 90, 90)).save(image)
    found = images_module.read([], tmp_path / "concepts.json").examples
    assert [example.caption for example in found] == list(source.captions.values())


def test_a_metadata_file_that_names_no_image_is_told(pictures: Pictures, tmp_path: Path) -> None:
    pictures("one")
    (tmp_path / "meta.json").write_text('{"nothing": {"caption": "x"}}')
    text = "[[datasets]]\n" + subset(tmp_path / "one", f'metadata_file = "{tmp_path / "meta.json"}"')
    with pytest.raises(StudyError, match="names no image of"):
        imported(tmp_path, text)
    (tmp_path / "meta.json").write_text("[1]")
    with pytest.raises(StudyError, match="must be a JSON object"):
        imported(tmp_path, text)


def test_the_configuration_may_name_the_data_set_file(pictures: Pictures, tmp_path: Path) -> None:
    pictures("one")
    (tmp_path / "d.toml").write_text("[[datasets]]\n" + subset(tmp_path / "one"))
    (tmp_path / "config.toml").write_text(CONFIG + 'dataset_config = "d.toml"\n')
    assert read(tmp_path / "config.toml").images.shown == 4


def test_images_given_by_hand_replace_the_data_set_file(pictures: Pictures, tmp_path: Path) -> None:
    train = pictures("train/2_a")
    (tmp_path / "config.toml").write_text(CONFIG + 'dataset_config = "gone.toml"\n')
    assert read(tmp_path / "config.toml", images=train).plan.data.folder == train


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "at least one [[datasets]]"),
        ("datasets = 3", "at least one [[datasets]]"),
        ("[[datasets]]\nresolution = 64", "there is no [[datasets.subsets]]"),
        ('[[datasets]]\n[[datasets.subsets]]\nimage_dir = "/gone"', "image_dir /gone does not exist"),
        ("[[datasets]]\n[[datasets.subsets]]\nnum_repeats = 2", "image_dir must be a folder"),
    ],
)
def test_broken_files_are_told_in_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        imported(tmp_path, text)
    (told,) = caught.value.problems
    assert sentence in told


@pytest.mark.parametrize("prefix", [".\\", "", "./"])
def test_folders_written_as_on_windows_say_repeats_and_words_by_their_last_name(
    prefix: str, pictures: Pictures, tmp_path: Path
) -> None:
    train = pictures("train/2_a", "train/3_sks_dog")
    text = "[[datasets]]\n"
    for name, repeats in (("2_a", 4), ("3_sks_dog", 6)):
        text += f"[[datasets.subsets]]\nimage_dir = '{prefix}train\\{name}'\nnum_repeats = {repeats}\n"
    recipe = imported(tmp_path, text)
    assert recipe.plan.data.folder == train
    assert recipe.plan.data.repeats == 2
    assert recipe.images.concepts is None
    recipe = imported(tmp_path, text.replace("num_repeats = 4", "num_repeats = 5"))
    assert recipe.images.concepts is not None
    assert [c["instance_prompt"] for c in recipe.images.concepts] == ["a", "sks dog"]
    assert [c["instance_data_dir"] for c in recipe.images.concepts] == [
        str(train / "2_a"),
        str(train / "3_sks_dog"),
    ]


def test_a_data_set_file_and_captions_are_found_by_windows_paths(pictures: Pictures, tmp_path: Path) -> None:
    pictures("sets/one")
    told = {rf"sets\one\{i}.png": {"caption": f"picture {i}"} for i in range(2)}
    (tmp_path / "sets" / "captions.json").write_text(
        json.dumps({k.split("\\")[-1]: v for k, v in told.items()})
    )
    (tmp_path / "sets" / "data.toml").write_text(
        "[[datasets]]\n[[datasets.subsets]]\nimage_dir = 'sets\\one'\nmetadata_file = 'sets\\captions.json'\n"
    )
    (tmp_path / "config.toml").write_text(CONFIG + "dataset_config = '.\\sets\\data.toml'\n")
    recipe = read(tmp_path / "config.toml")
    assert recipe.images.concepts is not None
    assert recipe.images.concepts[0]["metadata_file"] == str(tmp_path / "sets" / "captions.json")
    assert recipe.images.shown == 2


@pytest.mark.parametrize("folder", [r"C:\data\10_cat", r"\\nas\share\10_cat"])
def test_a_folder_on_windows_is_told_as_it_is_written(folder: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        imported(tmp_path, f"[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{folder}'\n")
    assert f"datasets[0].subsets[0]: image_dir {folder} does not exist." in caught.value.problems
