"""A study on SD 1.5's full-size architecture with random weights in a single file, on the CPU."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests import ldm
from tests.studies.conftest import StudyMaker
from tests.studies.runner.test_runner import run
from tests.studies.scenarios.test_bases import based_on
from trainer.bases.families import FAMILIES

FAMILY = FAMILIES["sd1"]


def random_base(target: Path) -> Path:
    """A checkpoint file of 1.07 billion random numbers in half precision."""
    import transformers
    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet: Any = UNet2DConditionModel
    vae: Any = AutoencoderKL
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tensors = ldm.prefixed("model.diffusion_model.", half(unet, "unet", ldm.unet))
        tensors |= ldm.prefixed("first_stage_model.", half(vae, "vae", ldm.vae))
        config: Any = transformers.CLIPTextConfig.from_pretrained(FAMILY.configs / "text_encoder")
        text = ldm.plain(transformers.CLIPTextModel(config))
    tensors |= ldm.prefixed(
        "cond_stage_model.transformer.text_model.", {name: value.half() for name, value in text.items()}
    )
    save_file({name: value.contiguous() for name, value in tensors.items()}, target)
    del tensors, text
    gc.collect()
    return target


def half(kind: Any, part: str, renamed: Any) -> dict[str, torch.Tensor]:
    made = kind.from_config(kind.load_config(FAMILY.configs / part))
    return {name: value.half() for name, value in renamed(made).items()}


@pytest.mark.slow
def test_two_trials_of_sd_15_train_are_judged_and_one_is_chosen(
    small_study: StudyMaker, tmp_path: Path
) -> None:
    base = random_base(tmp_path / "random-sd15.safetensors")
    study = based_on(
        small_study(trials=2, images=8),
        base,
        ("resolution = 64", "resolution = 128"),
        ('"data.repeats" = { choices = [1, 2] }\n', ""),
        ('folder = "images"', 'folder = "images"\nrepeats = 1'),
        (
            "prompt_count = 2\nsteps = 3\ntimesteps = 3",
            "prompt_count = 1\nsteps = 2\ntimesteps = 2\nmax_rows = 4",
        ),
        ("seen_images = 1", "seen_images = 1\noutside_prompt_count = 0"),
        ("finalists = 3\ntimesteps = 4", "finalists = 2\ntimesteps = 2"),
        ("size = 3", "size = 2"),
    )
    run(study, tmp_path / "ws")
    selection = json.loads((tmp_path / "ws" / "selection.json").read_text())
    assert selection["winner"] is not None
    with safe_open(tmp_path / "ws" / "best.safetensors", framework="pt") as file:
        keys, facts = set(file.keys()), file.metadata()
        down = file.get_tensor(
            "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight"
        )
    assert facts["ss_base_model_version"] == "sd_v1"
    assert down.shape[1] == 1280
    unet_layers = {key.split(".")[0] for key in keys if key.startswith("lora_unet")}
    assert len(unet_layers) == 192
