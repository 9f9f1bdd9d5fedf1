"""How checkpoints are judged stays as it was when the study began."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.memory import Memory
from studies.spec.sections import JudgeSection
from studies.study.allowance import affordable
from studies.study.judging import judged, remember
from studies.study.study import Study
from tests.studies.invented import invent


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return invent(tmp_path_factory.mktemp("one"), clip=False, finished=False).study


@pytest.fixture
def memory(tmp_path: Path, study: Study) -> Memory:
    return Memory.open(f"sqlite:///{tmp_path / 'new.sqlite3'}", "new", tmp_path / "artifacts")


def test_a_new_study_keeps_to_its_share(study: Study, memory: Memory) -> None:
    assert judged(memory, study.spec, study.dataset) == affordable(study.spec, study.dataset)


def test_what_was_remembered_holds_while_the_file_asks_the_same(study: Study, memory: Memory) -> None:
    given = study.spec.model_copy(update={"judge": study.spec.judge.model_copy(update={"timesteps": 2})})
    remember(memory, study.spec, given)
    assert judged(memory, study.spec, study.dataset).judge == given.judge
    other = study.spec.model_copy(update={"judge": study.spec.judge.model_copy(update={"timesteps": 50})})
    assert judged(memory, other, study.dataset) == affordable(other, study.dataset)


def test_prompts_that_the_subject_names_are_those_named_before_there_were_subjects() -> None:
    assert JudgeSection() == JudgeSection(outside_prompts="general")


def test_a_study_from_before_there_was_a_share_goes_on_as_it_began(study: Study, memory: Memory) -> None:
    number = memory.begin()
    memory.save_card(number, {"epoch": 1, "images_seen": 1, "objective": 0.0}, memory.snapshot(number))
    assert judged(memory, study.spec, study.dataset) == study.spec
