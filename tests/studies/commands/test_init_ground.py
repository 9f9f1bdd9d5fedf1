"""What a first study writes for the card at hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from studies.commands import init_choices, init_ground
from studies.commands.init_choices import Ground
from studies.commands.init_ground import fitted
from tests.studies.commands.test_init_choices import SD1, SDXL, survey
from trainer.bases import find
from trainer.bases.families import FAMILIES
from trainer.bases.find import Source
from trainer.plans.base import BasePlan

CLIP = "openai/clip-vit-large-patch14"


@pytest.fixture(autouse=True)
def full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full-size architectures stand for bases on disk."""

    def found(plan: BasePlan) -> Source:
        family = FAMILIES[Path(plan.path).name.replace("sd15", "sd1")]
        return Source(family, family.configs, None, None, "epsilon", False)

    monkeypatch.setattr(find, "find", found)


def lines(ground: Ground, gib: float | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What is written of memory, on a card of so many GiB."""
    monkeypatch.setattr(init_ground, "at_hand", lambda: gib)
    found = survey(20, ground.side)
    fit = fitted(found, ground, CLIP)
    written = [*init_choices.compute(fit), init_choices.resolution(found, fit)]
    return {line.key: line.value for line in written}


def test_a_large_card_gives_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lines(SD1, 80, monkeypatch)
    assert found == {"mixed_precision": "bf16", "gradient_checkpointing": False, "resolution": 512}


@pytest.mark.slow
def test_sdxl_on_a_small_card_is_stored_in_fewer_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lines(SDXL, 8, monkeypatch)
    assert found["gradient_checkpointing"] is True
    assert found["base_format"] == "nf4"


def test_without_a_card_nothing_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_ground, "at_hand", lambda: None)
    assert fitted(survey(20), SD1, CLIP) == SD1
    assert lines(replace(SD1, cuda=False), None, monkeypatch) == {"mixed_precision": "no", "resolution": 512}
