"""What every engine keeps to, whatever trains its trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.chaos import distance
from search.trial import Proposal
from studies.engines.choice import EngineChoice, opened
from studies.engines.engine import Equipped, Scored, TrialDiverged
from studies.engines.inline import open_worker
from studies.runner.progress import Listener
from studies.spec.planner import Planner
from studies.study import beginning
from studies.study.exam import Exam
from studies.study.study import Study
from studies.study.trial import Checkpoint
from tests.studies.conftest import write_study
from trainer.bases import base_model
from trainer.data.caches import TensorCache
from trainer.data.encoded import Encoded
from trainer.lora_files.file import read, slot_keys
from trainer.outcome import EpochEnd
from trainer.training.pack import Pack

GENTLE = {"optimiser.unet_lr": 1e-3, "lora.rank": 4, "data.batch_size": 2, "data.repeats": 2}
BRISK = {**GENTLE, "optimiser.unet_lr": 3e-3, "lora.rank": 2, "lora.text_encoder": True}
MAD = {**GENTLE, "optimiser.unet_lr": 1.0, "lora.alpha_over_rank": 1.0, "lora.rank": 64}
EXAM = Exam("validation", 3, 2, 1, "again")
PACK = 2
TOLERANCE = 5e-3
"""Relative 2-norm; files are in half precision."""


@pytest.fixture(scope="module")
def opened_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("contract")
    return beginning.begin(write_study(folder, images=32), folder / "workspace")


@pytest.fixture(scope="module")
def judged(opened_study: Study, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What a worker in this process says of the brisk trial alone: its checkpoints, and the last one examined."""
    workspace = type(opened_study.workspace)(tmp_path_factory.mktemp("judged"))
    workspace.prepare()
    worker = open_worker(
        opened_study.spec, workspace, opened_study.dataset, opened_study.seed, lambda *_: None
    )
    worker.admit(Proposal(0, BRISK), [])
    checkpoints = to_the_end(worker)[0]
    return {
        "checkpoints": checkpoints,
        "exam": worker.examine([(0, 2)], EXAM)[0],
        "noise": worker.measure_units(),
    }


def to_the_end(engine: Any) -> dict[int, list[Checkpoint]]:
    """Trains what was admitted; the checkpoints of each trial."""
    checkpoints: dict[int, list[Checkpoint]] = {}
    while not engine.idle:
        for event in engine.advance():
            assert isinstance(event, Scored)
            trial = event.checkpoint.trial
            checkpoints.setdefault(trial, []).append(event.checkpoint)
            if event.last:
                engine.stop(trial)
    return checkpoints


def trained_alone(opened: Study, values: Mapping[str, Any]) -> list[dict[str, torch.Tensor]]:
    """Every checkpoint of a plan, by a pack of its own and no engine."""
    planner = Planner(opened.spec, opened.dataset, opened.seed)
    plan = planner.plan(values)
    base = base_model.load(plan.base.path)
    encoded = Encoded(opened.dataset, base, TensorCache(opened.workspace.cache))
    pack, found = Pack(base, encoded, 1, plan.compute), []
    run = pack.admit(0, plan)
    while 0 in pack.runs:
        for event in pack.step():
            assert isinstance(event, EpochEnd)
            found.append(dict(slot_keys(pack.bank, run.slot, base.kohya_names)))
            if event.last:
                pack.evict(0)
    return found


def far(path: Path, alone: Mapping[str, torch.Tensor]) -> float:
    stored = read(path).tensors
    return max(distance(stored, alone, part) for part in ("lora_down", "lora_up"))


class EngineContract:
    """Inherited by a class for each engine."""

    choice: EngineChoice

    @pytest.fixture(scope="class")
    def engine(self, opened_study: Study) -> Iterator[Equipped]:
        listener = Listener()
        with opened(self.choice, opened_study, listener.stepped, listener.phase) as engine:
            engine.limit_pack(PACK)
            yield engine

    def test_a_trial_gives_the_checkpoints_that_its_plan_gives_alone(
        self, engine: Equipped, opened_study: Study
    ) -> None:
        for number, values in enumerate((GENTLE, BRISK)):
            engine.admit(Proposal(number, values), [])
        checkpoints = to_the_end(engine)
        for number, values in enumerate((GENTLE, BRISK)):
            alone = trained_alone(opened_study, values)
            assert [one.epoch for one in checkpoints[number]] == [1, 2] and len(alone) == 2
            for epoch, tensors in enumerate(alone, 1):
                assert far(opened_study.workspace.lora(number, epoch), tensors) < TOLERANCE

    def test_a_trial_gives_the_cards_that_a_worker_gives(
        self, engine: Equipped, judged: Mapping[str, Any]
    ) -> None:
        engine.admit(Proposal(10, GENTLE), [])
        engine.admit(Proposal(11, BRISK), [])
        for ours, theirs in zip(to_the_end(engine)[11], judged["checkpoints"], strict=True):
            for name in ("epoch", "images_seen", "steps", "rank"):
                assert getattr(ours, name) == getattr(theirs, name)
            for name in ("validation", "clip_image", "clip_text"):
                measured, expected = (one.scores.metrics[name].difference.mean for one in (ours, theirs))
                assert measured == pytest.approx(expected, rel=0.05, abs=1e-2)

    def test_a_dropped_trial_frees_its_room_and_an_engine_without_trials_is_idle(
        self, engine: Equipped
    ) -> None:
        admitted = 0
        while engine.has_room:
            engine.admit(Proposal(20 + admitted, GENTLE), [])
            admitted += 1
        assert admitted == PACK * (self.choice.workers or 1) and not engine.idle
        engine.stop(20)
        assert engine.has_room
        engine.admit(Proposal(40, GENTLE), [])
        assert not engine.has_room
        for number in (40, *range(21, 20 + admitted)):
            engine.stop(number)
        assert engine.idle and engine.has_room

    def test_a_resumed_trial_goes_on_from_its_last_epoch_to_what_it_would_have_been(
        self, engine: Equipped, opened_study: Study
    ) -> None:
        engine.admit(Proposal(30, BRISK), [])
        (first,) = engine.advance()
        assert isinstance(first, Scored) and not first.last
        engine.stop(30)
        engine.admit(Proposal(30, BRISK, resumed=True), [first.checkpoint])
        before = engine.seconds["training"]
        (again,) = engine.advance()
        assert again == first, "what is stored is told again, not trained again"
        checkpoints = to_the_end(engine)[30]
        assert [one.epoch for one in checkpoints] == [2] and engine.seconds["training"] > before
        alone = trained_alone(opened_study, BRISK)[-1]
        assert far(opened_study.workspace.lora(30, 2), alone) < TOLERANCE

    def test_checkpoints_and_the_base_model_are_examined_as_a_worker_does(
        self, engine: Equipped, judged: Mapping[str, Any]
    ) -> None:
        engine.admit(Proposal(50, BRISK), [])
        to_the_end(engine)
        cards = engine.examine([(50, 1), (50, 2)], EXAM)
        for name in ("validation", "clip_text"):
            measured, expected = (card.metrics[name].difference.mean for card in (cards[1], judged["exam"]))
            assert measured == pytest.approx(expected, rel=0.05, abs=1e-2)
        assert engine.measure_units() == pytest.approx(judged["noise"], rel=1e-3, abs=1e-3)

    def test_working_time_is_counted_by_kind(self, engine: Equipped) -> None:
        before = dict(engine.seconds)
        engine.admit(Proposal(60, GENTLE), [])
        to_the_end(engine)
        assert before.keys() == {"training", "judging"}
        assert all(engine.seconds[kind] > before[kind] for kind in before)

    def test_a_trial_that_diverges_leaves_its_slot_with_a_reason(self, engine: Equipped) -> None:
        engine.admit(Proposal(70, MAD), [])
        (event,) = engine.advance()
        assert isinstance(event, TrialDiverged) and event.trial == 70 and event.reason
        assert engine.idle and engine.has_room

    def test_a_file_that_is_there_is_not_made_again(self, engine: Equipped, opened_study: Study) -> None:
        engine.admit(Proposal(80, GENTLE), [])
        to_the_end(engine)
        before = opened_study.workspace.lora(80, 1).stat()
        assert engine.retrain_on_all(Proposal(80, GENTLE), 1) is None
        assert opened_study.workspace.lora(80, 1).stat() == before


class TestInline(EngineContract):
    choice = EngineChoice("inline")


class TestRay(EngineContract):
    choice = EngineChoice("ray", workers=2)
