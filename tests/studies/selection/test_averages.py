"""Averages beside the winner, of a study whose cards are invented and whose files hold one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from evaluation.intervals import Estimate
from evaluation.scorecard import Measured, ScoreCard
from studies.report.choice import averages as told
from studies.report.choice import reason
from studies.selection.document import APART, Key
from studies.selection.verdict import conclude
from studies.study.exam import Exam
from studies.study.study import Study
from tests.studies.invented import ExaminingEngine, invent

AGREEING = (0.01, -0.01, 0.02, -0.02)


@dataclass(frozen=True)
class Averaging(ExaminingEngine):
    """Later trials are worse; an average is better than its checkpoint by a gain on four images that agree or not."""

    gain: float = 0.0
    spread: float = 0.01
    asked: list[tuple[tuple[int, int], Exam]] = field(default_factory=list)

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
        self.asked.extend((key, exam) for key in checkpoints)
        cards = super().examine([centre(key).key for key in checkpoints], exam)
        return [self._card(card, key) for card, key in zip(cards, checkpoints, strict=True)]

    def _card(self, card: ScoreCard, key: tuple[int, int]) -> ScoreCard:
        level = -0.3 + 0.02 * key[0]
        cells = [level + x for x in AGREEING]
        if key[1] >= APART:
            cells = [
                x - self.gain + sign * self.spread for x, sign in zip(cells, (1, 1, -1, -1), strict=True)
            ]
        mean = sum(cells) / len(cells)
        found = Measured(difference=Estimate(mean=mean, standard_error=0.01), cells=tuple(cells))
        return card.model_copy(update={"metrics": {**card.metrics, "validation": found}})


def study(tmp_path: Path, averages: bool = True) -> Study:
    opened = invent(tmp_path, clip=False, finished=False, share=1.0).study
    for path in opened.workspace.root.glob("trials/*/*.safetensors"):
        drawn = torch.Generator().manual_seed(int(path.stem[-6:]) + 100 * int(path.stem[6:10]))
        factors = {
            "x.lora_down.weight": torch.randn(4, 6, generator=drawn),
            "x.lora_up.weight": torch.randn(5, 4, generator=drawn),
            "x.alpha": torch.tensor(4.0),
        }
        save_file(factors, path, {"ss_num_train_images": "6"})
    confirm = opened.spec.confirm.model_copy(update={"averages": averages})
    return replace(opened, spec=opened.spec.model_copy(update={"confirm": confirm}))


def centre(key: tuple[int, int]) -> Key:
    return Key(trial=key[0], epoch=key[1]).trained


def difference(path: Path) -> torch.Tensor:
    stored = {key: value.float() for key, value in load_file(path).items()}
    return stored["x.lora_up.weight"] @ stored["x.lora_down.weight"]


def test_an_average_that_is_better_beyond_the_error_is_handed_over(tmp_path: Path) -> None:
    opened = study(tmp_path)
    engine = Averaging(opened, clip=False, gain=0.05)
    found = conclude(opened, engine)
    winner, (first, *_) = found.winner, found.averages
    assert winner.average_of == first.members and winner.average_of[0].key == winner.key
    assert {key.trial for key in winner.average_of} == {winner.trial}
    assert abs(first.lead.mean * found.rule.units["validation"] - 0.05) < 1e-6
    made = opened.workspace.root / winner.file
    assert made.name.endswith(f"-{APART + winner.epoch:06d}.safetensors")
    mean = sum(difference(opened.workspace.lora(*key.key)) for key in winner.average_of) / len(
        winner.average_of
    )
    left, sizes, right = torch.linalg.svd(mean)
    assert torch.allclose(difference(made), left[:, :4] * sizes[:4] @ right[:4], atol=0.02)  # half precision
    assert torch.equal(difference(opened.workspace.best), difference(made))
    assert "Handed over is the mean of trial" in reason(found)


def test_the_test_images_meet_the_average_that_is_handed_over(tmp_path: Path) -> None:
    opened = study(tmp_path)
    engine = Averaging(opened, clip=False, gain=0.05)
    found = conclude(opened, engine)
    met = [key for key, exam in engine.asked if exam.side == "test"]
    assert met[0] == (found.winner.trial, APART + found.winner.epoch)
    assert found.test is not None and found.tested_before == ()


def test_an_average_is_measured_as_often_and_on_the_same_seeds_as_the_winner(tmp_path: Path) -> None:
    opened = study(tmp_path)
    engine = Averaging(opened, clip=False)
    found = conclude(opened, engine)
    seeds: dict[bool, list[str]] = {True: [], False: []}
    for key, exam in engine.asked:
        if exam.side != "test" and centre(key).key == found.winner.key and key[1] < 2 * APART:
            seeds[key[1] >= APART].append(exam.label)
    assert seeds[True] == seeds[False] != []


@pytest.mark.parametrize("engine", [{"gain": 0.0}, {"gain": -0.05}, {"gain": 0.01, "spread": 0.02}])
def test_an_average_within_the_error_is_told_and_loses(tmp_path: Path, engine: dict[str, Any]) -> None:
    opened = study(tmp_path)
    found = conclude(opened, Averaging(opened, clip=False, **engine))
    assert found.averages and not any(one.won for one in found.averages)
    assert found.winner.average_of == () and "was tried too" in told(found)
    assert opened.workspace.root / found.winner.file == opened.workspace.lora(*found.winner.key)


def test_nothing_is_averaged_unless_it_is_asked_for(tmp_path: Path) -> None:
    opened = study(tmp_path, averages=False)
    engine = Averaging(opened, clip=False, gain=0.05)
    assert conclude(opened, engine).averages == ()
    assert all(key[1] < APART for key, _ in engine.asked)


def test_files_of_another_algorithm_have_no_average(tmp_path: Path) -> None:
    opened = study(tmp_path)
    for path in opened.workspace.root.glob("trials/*/*.safetensors"):
        save_file({"x.hada_w1_a": torch.zeros(2, 2)}, path)
    found = conclude(opened, Averaging(opened, clip=False, gain=0.05))
    assert found.averages == () and found.winner.average_of == ()


def test_an_interrupted_verdict_is_made_again_alike(tmp_path: Path) -> None:
    opened = study(tmp_path)
    engine = Averaging(opened, clip=False, gain=0.05)
    first = conclude(opened, engine)
    opened.memory.remember("verdict", None)
    again = conclude(opened, engine)
    assert again == first
    met = [key for key, exam in engine.asked if exam.side == "test"]
    assert len(met) == len(set(met))
