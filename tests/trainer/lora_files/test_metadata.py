"""What LoRA files tell about their data."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainer.bases.families import FAMILIES
from trainer.bases.family import Identity
from trainer.data.dataset import Dataset
from trainer.lora_files.metadata import data_facts, datasets, metadata
from trainer.outcome import EpochEnd
from trainer.plan import TrainingPlan
from trainer.plans.data import DataPlan


def test_the_entries_say_what_was_asked(few_dataset: Dataset) -> None:
    asked: dict[str, Any] = {
        "flip": True,
        "random_crop": True,
        "colour_jitter": 0.1,
        "caption_dropout": 0.2,
        "tag_dropout": 0.3,
        "max_token_length": 150,
        "cache_latents": "off",
        "reg_folder": ".",
        "prior_loss_weight": 0.5,
    }
    found = data_facts(DataPlan(folder=Path(), **asked), few_dataset)
    assert {name: found[name] for name in WANTED} == WANTED
    assert json.loads(str(found["ss_dataset_dirs"])) == {"1_fluent": {"n_repeats": 1, "img_count": 5}}


WANTED = {
    "ss_flip_aug": True,
    "ss_random_crop": True,
    "ss_color_aug": True,
    "ss_caption_dropout_rate": 0.2,
    "ss_caption_tag_dropout_rate": 0.3,
    "ss_max_token_length": 150,
    "ss_cache_latents": False,
    "ss_prior_loss_weight": 0.5,
    "ss_num_reg_images": 0,
    "ss_reg_dataset_dirs": "{}",
    "ss_bucket_info": None,
    "ss_min_bucket_reso": None,
}


def test_buckets_are_counted_with_their_images(few_dataset: Dataset) -> None:
    first = few_dataset.split.train[0]
    sizes = tuple((96, 32) if i == first else (64, 64) for i in range(9))
    original = few_dataset.examples[first].size
    assert original[0] == original[1]
    plan = DataPlan(folder=Path(), enable_bucket=True)
    info = json.loads(str(data_facts(plan, replace(few_dataset, sizes=sizes))["ss_bucket_info"]))
    assert info == {
        "buckets": {
            "0": {"resolution": [64, 64], "count": 4},
            "1": {"resolution": [96, 32], "count": 1},
        },
        "mean_img_ar_error": 2 / 5,
    }


def test_the_data_set_is_told_by_names_alone_as_readers_expect_it(few_dataset: Dataset) -> None:
    plan = DataPlan(
        folder=Path("/home/somebody/images"), batch_size=2, flip=True, shuffle_caption=True, keep_tokens=1
    )
    (whole,) = json.loads(datasets(plan, few_dataset))
    assert "somebody" not in json.dumps(whole)
    assert (whole["batch_size_per_device"], whole["num_train_images"], whole["num_reg_images"]) == (2, 5, 0)
    (subset,) = whole["subsets"]
    assert (subset["image_dir"], subset["img_count"], subset["num_repeats"]) == ("1_fluent", 5, 1)
    assert subset["flip_aug"] and not subset["is_reg"] and subset["keep_tokens"] == 1
    assert set(whole["tag_frequency"]) == {"1_fluent"}


@pytest.mark.parametrize("size", [0x100000 + 5000, 0x120000])
def test_a_base_in_one_file_has_the_short_hash_of_sd_scripts(
    size: int, make_plan: Callable[..., TrainingPlan], few_dataset: Dataset, tmp_path: Path
) -> None:
    """Of 64 KiB from the first MiB on, or what is there of them."""
    path = tmp_path / "base.safetensors"
    path.write_bytes(random.Random(0).randbytes(size))
    plan = make_plan()
    one = plan.model_copy(update={"base": plan.base.model_copy(update={"path": path, "vae": path})})
    identity = Identity(FAMILIES["sd1"], "epsilon", False, "abc")
    facts, of_folder = (
        metadata(each, few_dataset, identity, "heart", EpochEnd(0, 1, 5, 5, 0.5, last=True))
        for each in (one, plan)
    )
    wanted = hashlib.sha256(path.read_bytes()[0x100000:][:0x10000]).hexdigest()[:8]
    assert facts["ss_sd_model_hash"] == facts["ss_vae_hash"] == wanted
    assert not {"ss_sd_model_hash", "ss_vae_hash"} & of_folder.keys()
