"""Whose file it is, told from few keys; and that no file is nobody's."""

from __future__ import annotations

from typing import Any

import pytest

from studies.dialects import table as dialects


@pytest.mark.parametrize(
    ("table", "trainer"),
    [
        ({"network_dim": 8}, ""),
        ({"model": {"network_dim": 8}}, ""),
        ({"LoRA_type": "Standard"}, "kohya_ss"),
        ({"max_resolution": "512,512", "epoch": 1}, "kohya_ss"),
        ({"general_args": {"args": {"seed": 1}}}, "LoRA_Easy_Training_Scripts"),
        ({"bucket_args": {"dataset_args": {}}}, "LoRA_Easy_Training_Scripts"),
        ({"model_train_type": "sd-lora"}, "lora-scripts"),
        ({"network": {"lycoris_algo": "loha"}}, "lora-scripts"),
        ({"pretrained_model": "x"}, "lora-scripts"),
        ({"training_method": "LORA"}, "OneTrainer"),
        ({"base_model_name": "x"}, "OneTrainer"),
        ({"job": "extension", "config": {"process": []}}, "ai-toolkit"),
        ({"model_family": "sdxl"}, "SimpleTuner"),
        ({"--lora_type": "standard"}, "SimpleTuner"),
        ({"dit": "x"}, "musubi-tuner"),
        ({"train": {"dit": "x"}}, "musubi-tuner"),
        ({"datasets": [{"image_directory": "x"}]}, "musubi-tuner"),
        ({"instance_data_dir": "x"}, "diffusers"),
        ({"script": "train_text_to_image_lora.py", "rank": "4"}, "diffusers"),
        ({}, ""),
    ],
    ids=str,
)
def test_whose_configuration_it_is(table: dict[str, Any], trainer: str) -> None:
    assert dialects.translated(table).trainer == trainer


def test_a_configuration_that_kohya_ss_wrote_for_sd_scripts_is_sd_scripts() -> None:
    written = {"noise_offset_type": "Original", "epoch": 3, "max_train_epochs": 3, "optimizer_type": "AdamW"}
    assert dialects.translated(written).trainer == ""
