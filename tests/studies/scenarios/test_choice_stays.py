"""A short study, for real: its choice is the one that was stored, and `judge` comes to it by the same code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from studies.commands.judge_request import JudgeOptions, examine
from studies.engines.inline import open_worker
from studies.report.choice import explained
from studies.runner.progress import Listener
from studies.runner.runner import Runner
from studies.selection.document import Selection
from studies.selection.judged_files import judge_files
from studies.study import beginning
from studies.study.study import Study
from studies.study.trial import read_trials
from tests.studies.conftest import ASSETS

TEXT = """
[study]
name = "short"
seed = 11
[plan.base]
path = "{assets}/micro-sd"
[plan.data]
folder = "{assets}/demo"
resolution = 64
repeats = 1
[budget]
trials = 4
images_per_trial = 126
[search]
sampler = "random"
pruner = {{ name = "none" }}
[search.space]
"optimiser.name" = {{ choices = ["adamw", "lion"] }}
"optimiser.unet_lr" = {{ low = 1e-3, high = 1e-2, log = true }}
"lora.rank" = {{ choices = [4, 8] }}
"data.batch_size" = {{ choices = [2, 4] }}
"noise.offset" = {{ low = 0.0, high = 0.1 }}
[judge]
clip = "{assets}/micro-clip"
prompt_count = 2
outside_prompts = "objects"
outside_prompt_count = 1
steps = 3
guidance = 3.0
timesteps = 3
seen_images = 2
[objective]
validation = 1.0
clip_image = 0.5
[confirm]
finalists = 2
rounds = 1
timesteps = 4
prompt_count = 2
seeds_per_prompt = 1
outside_prompt_count = 2
[pack]
size = 4
"""
STORED = {
    "winner": (1, 1),
    "params": {
        "optimiser.name": "adamw",
        "optimiser.unet_lr": 0.005461836751342537,
        "lora.rank": 4,
        "data.batch_size": 2,
        "noise.offset": 0.03139699666266871,
    },
    "objective": (1.20621, 0.35067),
    "noise": {
        "validation": 0.0110345,
        "clip_image": 5.09697,
        "memorisation": 14.97280,
        "clip_text": 1.84995,
    },
    "test": {
        "validation": (-0.060082, 0.016787),
        "clip_image": (0.94971, 0.27650),
        "clip_text": (-6.15646, 5.55321),
        "memorisation": (-4.40685, 0.95972),
        "flexibility": (-0.34269, 2.02463),
    },
    "candidates": {
        (0, 1): 0.91614, (0, 2): 1.12598, (0, 3): 1.28888, (1, 1): 1.4793, (1, 2): 0.72921, (1, 3): 1.53877,
        (2, 1): 0.12254, (2, 2): 0.32531, (2, 3): 0.5322, (3, 1): 0.80164, (3, 2): 0.96885, (3, 3): 1.29438,
    },
}  # fmt: skip
"""As version 0.1 chose before its rooms and types were built, on one thread."""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Selection]:
    folder = tmp_path_factory.mktemp("short")
    path = folder / "study.toml"
    path.write_text(TEXT.format(assets=ASSETS.as_posix()))
    opened = beginning.begin(path, folder / "workspace")
    worker = open_worker(opened.spec, opened.workspace, opened.dataset, opened.seed, Listener().stepped)
    return opened, Runner(opened, worker, Listener()).run()


def test_the_choice_and_its_figures_are_those_that_were_stored(ended: tuple[Study, Selection]) -> None:
    selection = ended[1]
    winner = selection.winner
    assert winner.key == STORED["winner"]
    assert winner.params == pytest.approx(STORED["params"])  # type: ignore[arg-type]
    assert winner.objective is not None and selection.test is not None
    mean, error = STORED["objective"]
    assert winner.objective.mean == pytest.approx(mean, abs=2e-3)
    assert winner.objective.standard_error == pytest.approx(error, abs=2e-3)
    assert selection.rule.spreads == pytest.approx(STORED["noise"], rel=1e-4)
    for name, (mean, error) in STORED["test"].items():  # type: ignore[attr-defined]
        found = selection.test.metrics[name].difference
        assert (found.mean, found.standard_error) == pytest.approx((mean, error), rel=5e-3, abs=5e-3)
    objectives = {one.key: one.objective.mean for one in selection.candidates if one.objective}
    assert objectives == pytest.approx(STORED["candidates"], abs=2e-3)


def test_selection_json_is_the_selection(ended: tuple[Study, Selection]) -> None:
    opened, selection = ended
    stored = json.loads(opened.workspace.selection.read_text(encoding="utf-8"))
    assert Selection.model_validate(stored) == selection == explained(selection)


def test_judge_on_the_studys_own_files_gives_the_same_type_by_the_same_rule(
    ended: tuple[Study, Selection], tmp_path: Path
) -> None:
    """The same files on the same held-out images and seeds have the same figures, whoever asks."""
    opened, chosen = ended
    champion = read_trials(opened.memory)[chosen.winner.trial]
    files = [opened.workspace.root / one.file for one in champion.checkpoints]
    options = JudgeOptions(
        files, ASSETS / "micro-sd", ASSETS / "demo", tmp_path, clip=str(ASSETS / "micro-clip"), seed=11
    )
    asked, spec = examine(options), opened.spec
    judge = spec.judge.model_copy(update={"outside_prompt_count": 0})
    request = replace(asked, judge=judge, confirm=spec.confirm, objective=spec.objective)
    judged = judge_files(request, lambda text: None).selection
    assert type(judged) is type(chosen)
    assert judged.images is not None and judged.images.never_trained_on, "the files' own study held them out"
    for one, own in zip(judged.candidates, champion.checkpoints, strict=True):
        assert one.epoch == own.epoch
        assert one.scores.validation.mean == pytest.approx(own.scores.validation.mean, abs=1e-4)
        assert one.scores.metrics["clip_image"].value == pytest.approx(
            own.scores.metrics["clip_image"].value, abs=0.1
        )
    assert judged.rule.spreads == pytest.approx(chosen.rule.spreads, rel=1e-4)
    assert judged.winner.epoch == chosen.winner.epoch
