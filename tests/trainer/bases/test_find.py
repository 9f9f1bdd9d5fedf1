"""What is known of a base model before it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.bases import families
from trainer.bases.errors import BaseModelError
from trainer.bases.families import FAMILIES
from trainer.bases.find import Source, family_of, find, native_side, side_step
from trainer.plans.base import BasePlan


@pytest.mark.parametrize(("name", "side"), [("sd1", 512), ("sd2", 768), ("sdxl", 1024)])
def test_pictures_have_the_size_that_the_family_was_made_for(name: str, side: int) -> None:
    family = FAMILIES[name]
    source = Source(family, family.configs, None, None, "epsilon", False)
    assert native_side(source) == side == family.native_side
    assert side_step(source) == family.side_step


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("stabilityai/stable-diffusion-xl-base-1.0", "sdxl"),
        ("someone/SDXL-v2", "sdxl"),
        ("stabilityai/stable-diffusion-2-1", "sd2"),
        ("stable-diffusion-v1-5/stable-diffusion-v1-5", "sd1"),
    ],
)
def test_a_hub_name_suggests_a_family(name: str, family: str) -> None:
    assert family_of(name).name == family


def test_another_pipeline_is_refused_with_those_that_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three = {name: FAMILIES[name] for name in ("sd1", "sd2", "sdxl")}
    monkeypatch.setattr(families, "FAMILIES", three)
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(BaseModelError) as told:
        find(BasePlan(path=tmp_path))
    assert str(told.value).endswith(
        "_class_name must be StableDiffusionPipeline (SD 1.x or 2.x) or StableDiffusionXLPipeline (SDXL), "
        "but got 'FluxPipeline'."
    )


def test_the_micro_base_draws_64_pixels(assets: Path) -> None:
    assert native_side(find(BasePlan(path=assets / "micro-sd"))) == 64
