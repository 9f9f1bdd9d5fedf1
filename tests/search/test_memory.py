from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from search.memory import Memory
from search.samplers import Draw, make_sampler
from search.storage import StorageError
from search.trial import Failed, Finished, Infeasible, Point, Pruned, Reason
from tests.search.conftest import Study


def frozen(study: Study, number: int) -> optuna.trial.FrozenTrial:
    """The trial as Optuna itself, or the dashboard, reads it."""
    url = f"sqlite:///{study.folder}/study.db"
    return optuna.load_study(study_name="study", storage=url).trials[number]


def test_what_was_remembered_is_recalled_by_the_next_process(study: Study) -> None:
    study.memory().remember("fingerprint", {"images": [1, 2], "loss": math.nan})
    assert study.memory().recall("fingerprint") == {"images": [1, 2], "loss": None}
    assert study.memory().recall("nothing") is None


def test_the_dashboard_sees_a_study_that_maximises_the_objective(study: Study) -> None:
    study.memory()
    loaded = optuna.load_study(study_name="study", storage=f"sqlite:///{study.folder}/study.db")
    assert loaded.direction == optuna.study.StudyDirection.MAXIMIZE
    assert loaded.metric_names == ["objective"]


def test_a_missing_study_is_an_error_unless_it_may_be_made(study: Study) -> None:
    with pytest.raises(StorageError, match="There is no study 'other' in sqlite:///"):
        study.memory("other", create=False)
    study.memory("other")
    assert study.memory("other", create=False).name == "other"


def test_a_study_that_minimises_is_refused(study: Study) -> None:
    optuna.create_study(study_name="foreign", storage=f"sqlite:///{study.folder}/study.db")
    with pytest.raises(StorageError, match="does not maximise"):
        study.memory("foreign")


def test_enqueued_recipes_come_first_in_order_and_the_sampler_fills_the_rest(study: Study) -> None:
    memory = study.memory()
    memory.enqueue({"lora.rank": 8, "lora.conv": False})
    memory.enqueue({"lora.rank": 12})
    assert [record.state for record in memory.records()] == ["waiting", "waiting"]
    assert memory.record(1).values == {"lora.rank": 12}
    sampler = make_sampler("random", Draw(0, 0, None))
    values = [memory.suggest(memory.begin(), study.space.suggest, sampler) for _ in range(3)]
    assert [v["lora.rank"] for v in values[:2]] == [8, 12]
    assert set(values[0]) == {"lora.rank", "lora.conv", "optimiser.unet_lr"}


def test_cards_are_kept_once_an_epoch_and_ordered(study: Study) -> None:
    memory = study.memory()
    number = memory.begin()
    for epoch, objective in [(2, 0.5), (1, 0.25), (1000, math.nan)]:
        card = {"epoch": epoch, "images_seen": 10 * epoch, "objective": objective}
        assert memory.save_card(number, card)
        assert not memory.save_card(number, card | {"objective": 9.0})
    record = study.memory().record(number)
    assert [card["epoch"] for card in record.cards] == [1, 2, 1000]
    assert record.curve == (Point(10, 0.25), Point(20, 0.5))
    assert record.images_seen == 10_000
    assert frozen(study, number).user_attrs["card/002"]["objective"] == 0.5


def test_a_finished_trial_is_complete_with_its_value(study: Study) -> None:
    memory = study.memory()
    memory.tell(memory.begin(), Finished(), 1.5)
    trial = frozen(study, 0)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 1.5)
    assert trial.user_attrs == {"feasible": True, "objective": 1.5}
    record = memory.record(0)
    assert record.state == "finished"
    assert record.started is not None and record.ended is not None and record.started <= record.ended
    with pytest.raises(ValueError, match="needs a finite objective, but got nan"):
        memory.tell(memory.begin(), Finished(), math.nan)


def test_a_pruned_trial_keeps_the_value_of_its_last_rung(study: Study) -> None:
    memory = study.memory()
    number = memory.begin()
    memory.report(number, 100, 0.5)
    memory.tell(number, Pruned(), 0.75)
    trial = frozen(study, number)
    assert (trial.state, trial.value) == (TrialState.PRUNED, 0.5)
    assert trial.user_attrs["objective"] == 0.75
    assert memory.record(number).state == "pruned"


def test_an_infeasible_trial_is_complete_with_a_violated_constraint(study: Study) -> None:
    memory = study.memory()
    memory.tell(memory.begin(), Finished(), -2.0)
    memory.tell(memory.begin(), Infeasible(Reason.told("loss was NaN at step 12")), None)
    trial = frozen(study, 1)
    assert trial.state == TrialState.COMPLETE
    assert trial.constraints == {"infeasible": 1.0}
    assert trial.value == -2.0
    assert trial.user_attrs == {
        "feasible": False,
        "reason": {"code": "told", "values": {"text": "loss was NaN at step 12"}},
    }
    assert memory.record(1).state == "infeasible"
    assert memory.record(1).reason == Reason.told("loss was NaN at step 12")


def test_an_infeasible_trial_is_told_at_most_zero_and_is_never_the_best(study: Study) -> None:
    memory = study.memory()
    memory.tell(memory.begin(), Infeasible(Reason.told("diverged")), None)
    assert frozen(study, 0).value == 0.0
    memory.tell(memory.begin(), Finished(), -1.0)
    url = f"sqlite:///{study.folder}/study.db"
    assert optuna.load_study(study_name="study", storage=url).best_trial.number == 1


def test_a_failed_trial_has_no_value(study: Study) -> None:
    memory = study.memory()
    memory.tell(memory.begin(), Failed(Reason.told("worker lost")), None)
    assert frozen(study, 0).state == TrialState.FAIL
    assert (memory.record(0).state, memory.record(0).reason) == ("failed", Reason.told("worker lost"))


def test_a_reason_that_an_older_version_stored_as_a_text_is_read(study: Study) -> None:
    memory = study.memory()
    number = memory.begin()
    memory.annotate(number, "reason", "The worker was lost.")
    assert memory.record(number).reason == Reason.told("The worker was lost.")


def test_files_are_attached_to_a_trial_or_to_the_study(study: Study, tmp_path: Path) -> None:
    memory = study.memory()
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"pixels")
    number = memory.begin()
    ids = [memory.board.attach(number, sheet), memory.board.attach(None, sheet)]
    assert [(study.folder / "artifacts" / i).read_bytes() for i in ids] == [b"pixels"] * 2
    found = optuna.artifacts.get_all_artifact_meta(
        frozen(study, number), storage=optuna.storages.RDBStorage(f"sqlite:///{study.folder}/study.db")
    )
    assert [(meta.artifact_id, meta.filename, meta.mimetype) for meta in found] == [
        (ids[0], "sheet.png", "image/png")
    ]


def test_writing_to_a_trial_that_someone_else_ended_is_storage_trouble(study: Study) -> None:
    memory = study.memory()
    number = memory.begin()
    other: Memory = study.memory()
    other.tell(number, Failed(Reason.told("ended in the dashboard")), None)
    with pytest.raises(StorageError, match="has already ended"):
        memory.save_card(number, {"epoch": 1, "images_seen": 1, "objective": 0.0})


def test_an_unknown_trial_is_told(study: Study) -> None:
    with pytest.raises(KeyError, match="There is no trial 4 in the study 'study'"):
        study.memory().record(4)
