"""A short study, for real: what it leaves, that it can be had again, and that its choice is the one that was stored.

`judge` comes to it by the same code.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from studies.commands.judge_request import JudgeOptions, examine
from studies.errors import StudyError
from studies.report.choice import explained
from studies.selection.document import Selection
from studies.selection.judged_files import judge_files
from studies.study.beginning import reopen
from studies.study.trial import read_trials
from tests.studies.conftest import ASSETS, write_study
from tests.studies.runner.test_runner import run

STORED = {
    "winner": (4, 4),
    "params": {
        "optimiser.unet_lr": 0.00784161901662646,
        "optimiser.name": "adamw",
        "lora.rank": 2,
        "lora.text_encoder": True,
        "data.batch_size": 1,
        "data.repeats": 1,
    },
    "objective": (0.85109, 0.36643),
    "units": {
        "validation": 0.18968,
        "clip_image": 20.3919,
        "clip_text": 17.2927,
        "style": 14.8348,
        "memorisation": 12.6239,
    },
    "test": {
        "validation": (-0.138516, 0.064464),
        "clip_image": (-15.007558, 7.674386),
        "clip_text": (-20.099802, 27.664422),
        "style": (-9.480633, 5.796955),
        "memorisation": (22.949892, 19.468391),
        "flexibility": (0.294502, 11.541565),
    },
    "candidates": {
        (0, 1): 0.00185,
        (0, 2): 0.00459,
        (1, 1): 0.02214,
        (1, 2): 0.06363,
        (2, 1): 0.00047,
        (2, 2): 0.00229,
        (3, 1): 0.04548,
        (3, 2): 0.14201,
        (4, 1): 0.04891,
        (4, 2): 0.18093,
        (4, 3): 0.45276,
        (4, 4): 0.57674,
        (5, 1): 0.23757,
        (5, 2): 0.49058,
    },
}
"""As it was chosen on one thread when the shortlist began to be made by steadied objectives; those of the candidates
are older, from before factors were copied once a step and optimisers stepped on flat tensors."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study file, its images, and the workspace ``first`` of its finished run."""
    folder = tmp_path_factory.mktemp("finished")
    run(write_study(folder, trials=6, sampler="tpe", pruner="asha"), folder / "first")
    return folder


def test_a_study_scores_every_epoch_selects_confirms_and_tests(finished: Path):
    study = reopen(finished / "first")
    records = study.memory.records()
    assert len(records) == 6
    assert {record.state for record in records} <= {"finished", "pruned", "infeasible"}
    selection = json.loads(study.workspace.selection.read_text())
    assert {"name", "rule", "winner", "candidates", "confirmation", "test"} <= selection.keys()
    assert {"trial", "epoch", "file", "params", "scores"} <= selection["winner"].keys()
    for record in records:
        epochs = [card["epoch"] for card in record.cards]
        assert epochs == list(range(1, len(epochs) + 1))
        assert len(list(study.workspace.trial(record.number).glob("trial-*.safetensors"))) == len(epochs)
        if epochs:
            short = [study.memory.annotation(record.number, k) for k in ("best_epoch", "best_validation")]
            assert short[0] in epochs and " ± " in short[1]
            assert study.memory.annotation(record.number, "diagnosis").endswith(".")
    assert study.memory.recall("prompts") == list(study.prompts)
    assert len(list(study.workspace.tensorboard.iterdir())) == sum(bool(r.cards) for r in records)
    best = load_file(study.workspace.best)
    assert best.keys() == load_file(study.workspace.root / selection["winner"]["file"]).keys()
    assert list(study.workspace.artifacts.iterdir())


def test_the_same_study_gives_the_same_trials_and_the_same_selection(finished: Path, tmp_path: Path):
    run(finished / "small.toml", tmp_path / "second")
    roots = finished / "first", tmp_path / "second"
    first, second = (json.loads((root / "selection.json").read_text()) for root in roots)
    assert first == second
    states = [[(record.values, record.state) for record in reopen(root).memory.records()] for root in roots]
    assert states[0] == states[1]


def test_a_finished_study_is_not_searched_again(finished: Path):
    before = (finished / "first" / "selection.json").read_bytes()
    output = run(finished / "small.toml", finished / "first")
    assert "started" not in output
    assert (finished / "first" / "selection.json").read_bytes() == before


def test_a_changed_data_set_is_refused_on_resume(finished: Path, tmp_path: Path):
    shutil.copytree(finished, tmp_path / "copy")
    next((tmp_path / "copy" / "images").glob("*/*.txt")).write_text("something else")
    with pytest.raises(StudyError, match="data set has changed"):
        run(tmp_path / "copy" / "small.toml", tmp_path / "copy" / "first")


def chosen(finished: Path) -> Selection:
    return Selection.model_validate_json((finished / "first" / "selection.json").read_bytes())


def test_the_choice_and_its_figures_are_those_that_were_stored(finished: Path) -> None:
    selection = chosen(finished)
    winner = selection.winner
    assert winner.key == STORED["winner"]
    assert winner.params == pytest.approx(STORED["params"])  # type: ignore[arg-type]
    assert winner.objective is not None and selection.test is not None
    mean, error = STORED["objective"]
    assert winner.objective.mean == pytest.approx(mean, abs=2e-3)
    assert winner.objective.standard_error == pytest.approx(error, abs=2e-3)
    assert selection.rule.units == pytest.approx(STORED["units"], rel=1e-4)
    for name, (mean, error) in STORED["test"].items():  # type: ignore[attr-defined]
        found = selection.test.metrics[name].difference
        assert (found.mean, found.standard_error) == pytest.approx((mean, error), rel=5e-3, abs=5e-3)
    objectives = {one.key: one.objective.mean for one in selection.candidates if one.objective}
    assert objectives == pytest.approx(STORED["candidates"], abs=2e-3)


def test_selection_json_is_the_selection(finished: Path) -> None:
    stored = json.loads((finished / "first" / "selection.json").read_text(encoding="utf-8"))
    selection = chosen(finished)
    assert Selection.model_validate(stored) == explained(selection)
    assert selection.to_json() == stored


def test_judge_on_the_studys_own_files_gives_the_same_type_by_the_same_rule(
    finished: Path, tmp_path: Path
) -> None:
    """The same files on the same held-out images and seeds have the same figures, whoever asks."""
    opened, selection = reopen(finished / "first"), chosen(finished)
    champion = read_trials(opened.memory)[selection.winner.trial]
    files = [opened.workspace.root / one.file for one in champion.checkpoints]
    options = JudgeOptions(
        files, ASSETS / "micro-sd", finished / "images", tmp_path, clip=str(ASSETS / "micro-clip"), seed=5
    )
    asked, spec = examine(options), opened.spec
    judge = spec.judge.model_copy(update={"outside_prompt_count": 0})
    request = replace(asked, judge=judge, confirm=spec.confirm, objective=spec.objective)
    judged = judge_files(request, lambda text: None).selection
    assert type(judged) is type(selection)
    assert judged.images is not None and judged.images.never_trained_on, "the files' own study held them out"
    for one, own in zip(judged.candidates, champion.checkpoints, strict=True):
        assert one.epoch == own.epoch
        assert one.scores.validation.mean == pytest.approx(own.scores.validation.mean, abs=1e-4)
        assert one.scores.metrics["clip_image"].value == pytest.approx(
            own.scores.metrics["clip_image"].value, abs=0.1
        )
        assert one.objective is not None
        assert one.objective.mean == pytest.approx(own.objective, abs=0.02)
    assert judged.rule.units == pytest.approx(selection.rule.units, rel=1e-4)
