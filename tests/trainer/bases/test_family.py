"""What a family cannot do, and which of several it is."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from trainer.bases.families import FAMILIES
from trainer.bases.family import Identity, of_width


@pytest.mark.parametrize(
    ("family", "clip_skip", "rate", "told"),
    [
        ("sd1", 3, None, []),
        ("sd2", 2, None, []),
        ("sdxl", 1, 0.1, []),
        ("sdxl", 2, 0.1, ["base.clip_skip = 2: SDXL ignores it; leave it out, or set it to 1"]),
        ("sd1", 1, 0.1, ["optimiser.text2_lr_over_unet_lr = 0.1: SD 1.x has one text encoder; leave it out"]),
    ],
)
def test_what_a_family_cannot_do_is_told(
    family: str, clip_skip: int, rate: float | None, told: list[str]
) -> None:
    assert FAMILIES[family].misfits(clip_skip, rate) == told


def test_of_families_with_the_same_evidence_the_width_of_the_text_decides_or_else_age() -> None:
    known = [family for family in FAMILIES.values() if not family.flows]
    assert [of_width(known, width).name for width in (768, 1024, 2048, 24, None)] == [
        "sd1",
        "sd2",
        "sdxl",
        "sd1",
        "sd1",
    ]


def test_the_parts_of_a_base_are_the_folders_that_diffusers_writes() -> None:
    text = ("tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2")
    assert FAMILIES["sdxl"].parts == (*text, "vae", "unet", "scheduler")
    assert FAMILIES["sd1"].parts == (*text[:2], "vae", "unet", "scheduler")


def test_a_family_is_the_same_in_another_process() -> None:
    """Identities travel to workers."""
    identity = Identity(FAMILIES["sdxl"], "epsilon", False, "abc")
    again = pickle.loads(pickle.dumps(identity))
    assert again == identity and hash(again.family) == hash(identity.family)
    assert replace(identity.family, text_width=1) != identity.family
