"""What fits on cards, for the full-size architectures and the shipped studies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from search.trial import Value
from studies.commands import cards as of_cards
from studies.commands.cards import SIZES, Card, cards, of_study
from studies.spec import study_file
from studies.spec.plan_fields import build, extremes
from studies.spec.planner import Planner
from studies.study.preflight import examine
from trainer.bases.families import FAMILIES
from trainer.bases.find import Source
from trainer.footprint.fitting import Setting
from trainer.footprint.forecast import GIB, room_of
from trainer.plans.optimiser import OptimiserPlan

LIBRARY = Path(__file__).resolve().parents[3] / "studies" / "library"


def fitted(name: str, family: str, gib: tuple[float, ...], **values: Value) -> tuple[Card, ...]:
    """A shipped study's heaviest trials on a full-size architecture without weights."""
    spec = study_file.parse((LIBRARY / name).read_text(), LIBRARY, name)
    heavy: Mapping[str, Any] = {
        field: max(extremes(parameter))
        for field, parameter in spec.space.parameters.items()
        if field in ("lora.rank", "lora.text_encoder", "data.batch_size")
    }
    plan = build({**spec.plan, "seed": 0}, {**heavy, **values})
    names = spec.search.space.get("optimiser.name", {"choices": [plan.optimiser.name]})["choices"]
    others = [OptimiserPlan.model_validate({"name": each}) for each in names]
    prediction = plan.base.prediction_type or FAMILIES[family].predictions[0]
    source = Source(FAMILIES[family], FAMILIES[family].configs, None, None, prediction, False)
    return cards(plan, others, spec.judge, spec.pack.limit, gib, source)


def test_larger_cards_hold_more_of_a_study() -> None:
    found = [card.fit for card in fitted("sd15.toml", "sd1", SIZES)]
    trials = [each.trials for each in found if each is not None]
    assert len(trials) == len(SIZES)
    assert trials == sorted(trials)
    assert trials[0] < trials[-1]
    for size, each in zip(SIZES, found, strict=True):
        assert each is not None
        assert each.setting.resolution == 512
        assert each.peak <= room_of(int(size * GIB))


def test_where_nothing_fits_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_cards, "SMALLER", ())
    (card,) = fitted("sd15.toml", "sd1", (1.0,))
    assert card.fit is None
    assert card.to_json() == {"gib": 1.0, "trials": 0}


def test_a_study_of_a_base_on_disk_is_fitted(small_study: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, dataset = examine(small_study())
    (card,) = of_study(Planner(spec, dataset, 0), (8.0,))
    assert card.fit is not None
    assert card.fit.trials == spec.pack.limit
    found = card.to_json()
    assert (found["gib"], found["resolution"], found["base_format"]) == (8.0, 64, "auto")


def test_without_a_card_there_is_none_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert of_cards.at_hand() is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (GIB, 12 * GIB))
    assert of_cards.at_hand() == 12


@pytest.mark.parametrize(
    ("name", "family", "gib", "trials"),
    [("sd15-8gb", "sd1", 8.0, 2), ("sdxl", "sdxl", 12.0, 1), ("sdxl-vpred", "sdxl", 12.0, 1)],
)
def test_shipped_studies_fit_the_card_they_name_as_they_are(
    name: str, family: str, gib: float, trials: int
) -> None:
    spec = study_file.load(LIBRARY / f"{name}.toml")
    (card,) = fitted(f"{name}.toml", family, (gib,))
    assert card.fit is not None
    wish = spec.plan["compute"].get("offload", "auto")
    assert card.fit.setting == Setting(spec.plan["data"]["resolution"], "auto", True, wish)
    assert card.fit.trials >= trials


@pytest.mark.parametrize("family", [name for name, family in FAMILIES.items() if family.flows])
def test_a_card_of_24_gigabytes_holds_full_size_transformers_by_what_is_given_up(family: str) -> None:
    """Text encoders of 8 to 10 GB have left by then."""
    (card,) = fitted(
        "sdxl.toml", family, (24.0,), **{"lora.text_encoder": False, "compute.base_format": "nf4"}
    )
    assert card.fit is not None
    assert card.fit.trials >= 1
    assert card.fit.peak <= room_of(int(24 * GIB))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sdxl", "sdxl-vpred"])
def test_sdxl_fits_eight_gigabytes_as_its_file_says(name: str) -> None:
    (card,) = fitted(f"{name}.toml", "sdxl", (8.0,), **{"compute.base_format": "nf4"})
    assert card.fit is not None
    assert card.fit.setting == Setting(1024, "nf4", True)
    assert 'On 8 GB set base_format = "nf4"' in (LIBRARY / f"{name}.toml").read_text().replace("\n# ", " ")
