"""Every cell of docs/families.md is what the family's folder says, and the refusals are those that plans meet."""

from __future__ import annotations

import re

import pytest

from tests.trainer.bases.test_misfits import OTHER, plan
from tools import families_md
from tools.house import ROOT
from trainer.bases.families import FAMILIES
from trainer.bases.misfits import misfits


def table() -> dict[str, list[str]]:
    lines = [line for line in (ROOT / "docs/families.md").read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells}


def test_the_page_is_made_of_the_folders() -> None:
    assert (ROOT / "docs/families.md").read_text(encoding="utf-8") == families_md.page()


def test_there_is_a_column_for_every_family_and_nothing_is_empty() -> None:
    found = table()
    assert found[""] == [family.title for family in FAMILIES.values()]
    assert all(all(row) for row in found.values())


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_family_has_no_use_for_is_what_plans_are_refused_for(name: str) -> None:
    place = list(FAMILIES).index(name)
    refused = set(re.findall(r"`([\w.]+)`", table()["has no use for"][place]))
    tried = {**OTHER, "noise.guidance": 3.5, "lora.text_encoder": True}
    assert refused == {field for field, value in tried.items() if misfits(FAMILIES[name], plan(field, value))}
