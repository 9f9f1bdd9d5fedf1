"""What a study takes from earlier ones, of which the trials are invented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from search.trial import Point, State, TrialRecord, Value
from studies.errors import StudyError
from studies.spec import study_file
from studies.spec.study_file import StudySpec
from studies.study import earlier
from studies.study.beginning import begin
from studies.study.earlier import EarlierStudy, prior
from tests.studies.conftest import StudyMaker
from tests.studies.invented import invent
from tests.studies.spec.test_study_file import GOOD
from tests.words import sentence_of

RATE, NAME = "optimiser.unet_lr", "optimiser.name"


def trial(
    number: int, objective: float, state: State = "finished", day: int = 1, **values: Value
) -> TrialRecord:
    named: dict[str, Value] = {RATE: 1e-4, NAME: "adamw"} | {
        k.replace("__", "."): v for k, v in values.items()
    }
    ended = datetime(2026, 11, day)
    return TrialRecord(number, named, state, curve=(Point(100, objective),), ended=ended)


def study(name: str, trials: Sequence[TrialRecord], **fields: Any) -> EarlierStudy:
    spec = study_spec()
    facts: dict[str, Any] = {
        "base": "the base",
        "resolution": spec.shared_plan.data.resolution,
        "objective": frozenset(name for name, weight in spec.objective.items() if weight),
    }
    return EarlierStudy(name, trials=trials, **facts | fields)


def study_spec() -> StudySpec:
    text = GOOD.replace("trials = 4", "trials = 24").replace("high = 1e-2", "high = 1e-3")
    return study_file.parse(
        text.replace("[objective]", f'"{NAME}" = {{ choices = ["adamw", "lion"] }}\n[objective]'),
        Path("/data"),
    )


def four(best: float, day: int = 1, **values: Value) -> list[TrialRecord]:
    return [trial(n, n / 10, day=day) for n in range(3)] + [trial(3, best, day=day, **values)]


def test_the_best_trial_of_each_is_a_recipe_and_all_trials_are_lessons() -> None:
    found = prior([study("cats", four(0.9, optimiser__unet_lr=3e-4))], study_spec(), "the base")
    assert found.recipes == ({RATE: 3e-4, NAME: "adamw"},)
    assert [round(one.standing, 3) for one in found.lessons] == [-0.2, -0.067, 0.067, 1.0]
    assert [(one.name, one.trials, one.left_out) for one in found.sources] == [("cats", 4, None)]


def test_values_outside_the_space_are_left_to_the_sampler() -> None:
    found = prior([study("cats", four(0.9, optimiser__unet_lr=0.5))], study_spec(), "the base")
    assert found.recipes == ({NAME: "adamw"},)


def test_the_newest_studies_recipes_come_and_most_random_draws_stay() -> None:
    """Of 24 trials, 8 are drawn at random, of which 2 may be recipes of earlier studies."""
    studies = [study(str(day), four(0.9, day, optimiser__unet_lr=day * 1e-5)) for day in (1, 2, 3, 4)]
    found = prior(studies, study_spec(), "the base")
    assert [recipe[RATE] for recipe in found.recipes] == [pytest.approx(4e-5), pytest.approx(3e-5)]
    assert [one.name for one in found.sources] == ["4", "3", "2", "1"] and len(found.lessons) == 16


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base": "another"}, "another base model"),
        ({"base": None}, "another base model"),
        ({"resolution": 32}, "at 32 pixels"),
        ({"objective": frozenset({"diversity"})}, "other metrics"),
    ],
)
def test_an_unlike_study_is_left_out_with_its_reason(fields: dict[str, Any], said: str) -> None:
    found = prior([study("dogs", four(0.9), **fields)], study_spec(), "the base")
    assert (found.recipes, found.lessons) == ((), ())
    assert said in sentence_of(found.sources[0].left_out)


def test_a_study_of_few_trials_that_came_to_anything_says_nothing() -> None:
    trials = [trial(0, 0.5), trial(1, 0.6, "infeasible"), trial(2, 0.7, "running"), trial(3, 0.4, "pruned")]
    found = prior([study("few", trials)], study_spec(), "the base")
    assert found.lessons == () and "only 2 of its trials" in sentence_of(found.sources[0].left_out)


def test_of_two_studies_of_one_name_each_is_judged_for_itself() -> None:
    studies = [study("cats", four(0.9, day=2)), study("cats", [trial(0, 0.5)])]
    found = prior(studies, study_spec(), "the base")
    assert len(found.lessons) == 4
    assert [one.left_out is None for one in found.sources] == [True, False]


@pytest.mark.parametrize(
    ("searched", "before", "now"),
    [
        ({"lora.alpha": {"choices": [4.0, 8.0]}}, {"lora.alpha_over_rank": 0.5}, {"lora.alpha": 8.0}),
        ({"lora.alpha": {"choices": [4.0, 16.0]}}, {"lora.alpha_over_rank": 0.5}, None),
        (
            {"lora.alpha_over_rank": {"low": 0.1, "high": 1.0}},
            {"lora.alpha": 8.0},
            {"lora.alpha_over_rank": 0.5},
        ),
    ],
)
def test_alpha_is_learnt_as_the_study_writes_it(
    searched: dict[str, Any], before: dict[str, Value], now: dict[str, Value] | None
) -> None:
    """Old studies searched its share of the rank, new ones search itself; a rate without its scale is no recipe."""
    rates = {"low": 1e-5, "high": 1e-2, "log": True}
    ranks = {"choices": [8, 16]}
    spec = study_spec()
    spec = spec.model_copy(
        update={
            "search": spec.search.model_copy(update={"space": {RATE: rates, "lora.rank": ranks, **searched}})
        }
    )
    old = {"lora__rank": 16, **{name.replace(".", "__"): value for name, value in before.items()}}
    trials = [trial(number, 0.1 * number, optimiser__unet_lr=1e-3, **old) for number in range(4)]
    found = prior([study("old", trials)], spec, "the base")
    assert found.recipes == (() if now is None else ({RATE: 1e-3, "lora.rank": 16, **now},))


def test_a_study_learns_from_those_beside_it_once_and_keeps_that(tmp_path: Path) -> None:
    before = invent(tmp_path / "a").study
    own = before.spec.model_copy(
        update={"search": before.spec.search.model_copy(update={"learn_from": (str(before.workspace.root),)})}
    )
    other = invent(tmp_path / "b", finished=False).study
    assert earlier.remembered(other.memory) is None
    earlier.fixed(other.memory, other.leases, own, other.workspace)
    first = earlier.remembered(other.memory)
    assert first is not None and len(first.sources) == 1
    earlier.fixed(other.memory, other.leases, own, other.workspace)
    assert earlier.remembered(other.memory) == first


def test_a_folder_without_a_study_is_refused_by_name(tmp_path: Path) -> None:
    found = invent(tmp_path, finished=False).study
    search = found.spec.search.model_copy(update={"learn_from": (str(tmp_path / "nothing"),)})
    spec = found.spec.model_copy(update={"search": search})
    (problem,) = earlier.named_problems(spec)
    assert "nothing: there is no study here" in problem
    with pytest.raises(StudyError, match="there is no study here"):
        earlier.fixed(found.memory, found.leases, spec, found.workspace)


def test_a_study_that_has_learnt_goes_on_without_the_earlier_one(
    small_study: StudyMaker, tmp_path: Path
) -> None:
    path = small_study()
    before = begin(path, tmp_path / "before").workspace.root
    path.write_text(path.read_text().replace("[search]", f'[search]\nlearn_from = ["{before}"]'))
    study = begin(path, tmp_path / "workspace")
    gone = before.rename(tmp_path / "gone")
    with pytest.raises(StudyError, match="before: there is no study here"):
        begin(path, tmp_path / "workspace")
    gone.rename(before)
    earlier.fixed(study.memory, study.leases, study.spec, study.workspace)
    before.rename(gone)
    assert begin(path, tmp_path / "workspace").seed == study.seed


def test_the_search_is_given_recipes_after_its_own_and_lessons_unless_that_is_off(tmp_path: Path) -> None:
    before, other = invent(tmp_path / "a").study, invent(tmp_path / "b", finished=False).study
    spec = other.spec.model_copy(update={"budget": other.spec.budget.model_copy(update={"trials": 24})})
    learning = spec.search.model_copy(update={"learn_from": (str(before.workspace.root),)})
    own = replace(other, spec=spec.model_copy(update={"search": learning}))
    memory = before.memory
    other.memory.remember("fingerprints", memory.recall("fingerprints") or {"base model": "one"})
    memory.remember("fingerprints", other.memory.recall("fingerprints"))
    earlier.fixed(own.memory, own.leases, own.spec, own.workspace)
    settings = own.search_settings
    assert settings.first[: len(spec.first)] == spec.first
    assert len(settings.first) == len(spec.first) + 1 and len(settings.lessons) >= 4
    assert replace(own, spec=spec).search_settings.lessons == ()
