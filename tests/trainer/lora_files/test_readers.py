"""Which programs read what a study can train."""

from __future__ import annotations

from typing import get_args

import pytest

from trainer.lora_files.readers import GAPS, READERS, gaps
from trainer.plans.algorithms import arguments_of
from trainer.plans.network import Algorithm


def test_the_table_knows_the_programs_the_algorithms_and_their_arguments() -> None:
    for gap in GAPS:
        assert set(gap.readers) <= set(READERS)
        assert gap.algorithm in get_args(Algorithm)
        known = ["dora"] if gap.algorithm == "lora" else arguments_of(gap.algorithm)
        assert {gap.argument, gap.unless_off} - {None} <= set(known)


@pytest.mark.parametrize(
    ("algorithm", "arguments", "convolutions", "unread", "wrong"),
    [
        ("lora", {}, True, set(), set()),
        ("lora", {"dora": False}, True, set(), set()),
        ("lora", {"dora": True}, True, set(), {"A1111", "Forge", "ComfyUI", "diffusers"}),
        ("dylora", {}, True, set(), set()),
        ("ia3", {}, False, {"ComfyUI", "Forge", "diffusers"}, set()),
        ("diag-oft", {}, False, {"Forge", "diffusers"}, set()),
        ("glora", {}, False, {"A1111", "diffusers"}, set()),
        ("loha", {"weight_decompose": True}, False, {"diffusers"}, {"A1111", "Forge", "ComfyUI"}),
        ("lokr", {"weight_decompose": True, "wd_on_out": False}, False, {"diffusers"}, set()),
        ("loha", {"weight_decompose": False}, False, {"diffusers"}, set()),
        ("lokr", {"use_tucker": True}, True, {"diffusers", "Forge", "ComfyUI"}, set()),
        ("lokr", {"use_tucker": True}, False, {"diffusers"}, set()),
    ],
)
def test_every_variant_has_its_readers(
    algorithm: str, arguments: dict[str, bool], convolutions: bool, unread: set[str], wrong: set[str]
) -> None:
    found = list(gaps(algorithm, arguments, convolutions))
    assert {reader for gap in found if gap.ignored for reader in gap.readers} == unread
    assert {reader for gap in found if not gap.ignored for reader in gap.readers} == wrong


def test_diffusers_reads_dora_in_its_own_form() -> None:
    assert not any("diffusers" in gap.readers for gap in gaps("lora", {"dora": True}, False, kohya=False))
