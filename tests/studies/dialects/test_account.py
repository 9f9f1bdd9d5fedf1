"""What becomes of keys is noted in one way, whoever's they are."""

from __future__ import annotations

import pytest

from studies.dialects.account import Account, Unmet
from studies.dialects.translation import Translation
from studies.sd_scripts.settings import Settings


@pytest.mark.parametrize("notes", [Account(), Translation(), Settings({})])
def test_notes_are_sentences_about_keys(notes: Account) -> None:
    notes.refuse("lowram", "no effect here")
    notes.convert("lr_warmup", "5 percent is 0.05 here")
    notes.wrong("rank", "a number", "x" * 10_000)
    assert notes.unmet == [Unmet("lowram", "no effect here")]
    assert str(notes.unmet[0]) == "lowram: no effect here"
    assert notes.converted == ["lr_warmup: 5 percent is 0.05 here"]
    assert notes.problems[0].startswith("rank must be a number, but got 'xxx")
    assert len(notes.problems[0]) < 300


@pytest.mark.parametrize("value", [10**400, "nan", "many", True, [], {"a": 1}])
def test_what_is_no_number_is_a_problem_and_not_the_end(value: object) -> None:
    settings = Settings({"network_dim": value})
    assert settings.number("network_dim", 4.0) == 4.0
    assert len(settings.problems) == (0 if value == [] else 1)


@pytest.mark.parametrize(
    ("value", "on"), [(True, True), ("true", True), (1, True), ("False", False), (0, False)]
)
def test_switches_are_read_in_all_spellings(value: object, on: bool) -> None:
    settings = Settings({"flip_aug": value})
    assert settings.flag("flip_aug") is on
    assert not settings.problems
