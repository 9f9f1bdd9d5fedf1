"""PEFT makes and reads the settings of its own adapters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tests.trainer.lora_files.test_formats import case, pipeline
from trainer.bases.base_model import BaseModel
from trainer.lora_files import peft_settings
from trainer.lora_files.layers import LoraFileError


@pytest.mark.parametrize("kind", peft_settings.KINDS)
def test_what_peft_saves_is_parsed_as_the_same_settings(kind: str, tmp_path: Path) -> None:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    made = PEFT_TYPE_TO_CONFIG_MAPPING[kind](target_modules=["to_q", "to_k"])
    made.save_pretrained(str(tmp_path))
    told = peft_settings.table((tmp_path / "adapter_config.json").read_text())
    assert peft_settings.parsed(told) == made


def test_settings_without_a_kind_are_loras() -> None:
    found: Any = peft_settings.parsed({"r": 3, "lora_alpha": 6, "of_yesterday": None})
    assert (type(found).__name__, found.r, found.lora_alpha) == ("LoraConfig", 3, 6)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"peft_type": "LNTUNING"}, "made with peft_type 'LNTUNING'; only"),
        ({"peft_type": 3}, "made with peft_type '3'"),
        ({"of_tomorrow": [1]}, "hold 'of_tomorrow', which LoraConfig of the installed PEFT does not know"),
        ({"layers_pattern": "h"}, "PEFT does not take its settings .*layers_to_transform"),
        ({"init_lora_weights": "olora"}, "'olora', which changes the base model"),
        ({"peft_type": "OFT", "r": 2, "oft_block_size": 2}, "PEFT does not take its settings .*not both"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused_by_name(table: dict[str, Any], told: str) -> None:
    with pytest.raises(LoraFileError, match=told):
        peft_settings.parsed(table)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_what_is_no_table_is_told(text: str) -> None:
    with pytest.raises(LoraFileError, match="its settings are no JSON"):
        peft_settings.table(text)


def test_written_settings_are_peft_s_own_and_leave_its_defaults_out() -> None:
    from peft import LoraConfig

    found = peft_settings.lora(r=4, lora_alpha=1.4, target_modules=["b", "a"])
    assert LoraConfig(**found) == LoraConfig(r=4, lora_alpha=1.4, target_modules=["a", "b"])
    assert found["target_modules"] == ["a", "b"] and json.dumps(found)
    assert found.keys() < LoraConfig().to_dict().keys()
    with pytest.raises(TypeError, match="of_tomorrow"):
        peft_settings.lora(of_tomorrow=3)


def test_written_tensors_have_the_keys_that_peft_gives_them(
    load_base: Callable[..., BaseModel], micro_sdxl: Path, tmp_path: Path
) -> None:
    from peft import PeftModel, get_peft_model_state_dict

    chosen = case(micro_sdxl, load_base(micro_sdxl))
    pipe = pipeline(chosen)
    for folder in sorted(chosen.write(tmp_path, "peft").iterdir()):
        loaded = PeftModel.from_pretrained(getattr(pipe, folder.name), str(folder))
        ours = load_file(folder / "adapter_model.safetensors")
        theirs = get_peft_model_state_dict(loaded)
        assert ours.keys() == theirs.keys()
        assert all(ours[key].equal(theirs[key]) for key in ours)
