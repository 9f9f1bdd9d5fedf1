from __future__ import annotations

import pytest

from studies.sd_scripts import settings
from studies.sd_scripts.names import PLAN, meanings
from studies.sd_scripts.settings import Settings, known_keys
from studies.spec.plan_fields import searchable
from trainer.plans.fields import Frozen, field, means, same


class ToySection(Frozen):
    warmth: float = field(1.0, same("toy_warmth", "toy_heat"), gt=0)
    glow: float | None = field(None, same("toy_glow"), gt=0)
    ground: str = field("grass", means("toy_ground"))


class ToyPlan(Frozen):
    toy: ToySection = ToySection()


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "PLAN", meanings(ToyPlan))
    monkeypatch.setattr(settings, "FIELDS", {"toy.warmth": 1.0, "toy.glow": None, "toy.ground": "grass"})


def test_every_field_of_the_plan_has_its_meaning() -> None:
    assert list(PLAN) == list(searchable())


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("key", ["toy_warmth", "toy_heat"])
def test_a_field_of_the_same_value_is_imported_by_itself_alone(key: str) -> None:
    taken = Settings({key: 2.5})
    taken.same()
    taken.remainder()
    assert (taken.plan, taken.origin, taken.unmet) == ({"toy.warmth": 2.5}, {"toy.warmth": key}, [])


@pytest.mark.usefixtures("toy")
def test_zero_leaves_a_field_unset_whose_default_is_none() -> None:
    taken = Settings({"toy_glow": 0})
    taken.same()
    assert taken.plan == {}


@pytest.mark.usefixtures("toy")
def test_all_keys_of_a_field_are_known() -> None:
    assert {"toy_warmth", "toy_heat", "toy_glow", "toy_ground"} <= set(known_keys())
