"""Real trainings with a known illness, each diagnosed rightly."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import pytest

from studies.engines.inline import open_worker
from studies.report.diagnosis import diagnose
from studies.runner.progress import Listener
from studies.runner.runner import Runner
from studies.spec.guards import GuardsSection
from studies.study import beginning
from studies.study.trial import Checkpoint, Trial, read_trials
from tests.studies.conftest import ASSETS

TEXT = """
[study]
name = "planted"
seed = 3
[plan.base]
path = "{assets}/micro-sd"
[plan.data]
folder = "images"
resolution = 64
repeats = 16
[plan.lora]
rank = 16
alpha_over_rank = 1.0
[split]
validation = 0.33
test = 0.15
[budget]
trials = 4
images_per_trial = 1152
[search]
sampler = "random"
pruner = {{ name = "none" }}
[search.space]
"optimiser.unet_lr" = {{ low = 1e-7, high = 1.0, log = true }}
"data.epochs" = {{ low = 1, high = 6 }}
[[first]]
"optimiser.unet_lr" = 1e-6
"data.epochs" = 2
[[first]]
"optimiser.unet_lr" = 5e-4
"data.epochs" = 2
[[first]]
"optimiser.unet_lr" = 2e-3
"data.epochs" = 6
[[first]]
"optimiser.unet_lr" = 3e-1
"data.epochs" = 3
[judge]
clip = "{assets}/micro-clip"
prompts = [
    "fluentflat", "fluentflat, thing", "fluentflat, picture", "fluentflat, icon", "fluentflat, food",
    "fluentflat, animal", "fluentflat, drawing", "fluentflat, object",
]
seeds_per_prompt = 2
outside_prompt_count = 0
steps = 6
guidance = 3.0
timesteps = 8
seen_images = 6
share = 1
[guards]
memorisation = "off"
[pack]
size = 4
"""


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    """12 images to train on, which few passes learn by heart."""
    folder = tmp_path_factory.mktemp("planted")
    pictures = folder / "images" / "1_fluent"
    pictures.mkdir(parents=True)
    for picture in sorted((ASSETS / "demo").glob("*_*/*.png"))[:24]:
        shutil.copy(picture, pictures)
        shutil.copy(picture.with_suffix(".txt"), pictures)
    path = folder / "planted.toml"
    path.write_text(TEXT.format(assets=ASSETS))
    opened = beginning.begin(path, folder / "ws")
    worker = open_worker(opened.spec, opened.workspace, opened.dataset, opened.seed, lambda *_: None)
    worker.limit_pack(4)
    Runner(opened, worker, Listener()).search()
    return read_trials(opened.memory)


@pytest.mark.parametrize(("trial", "condition"), enumerate(["underfit", "overfit", "memorising", "diverged"]))
def test_a_planted_illness_is_diagnosed(trials: list[Trial], trial: int, condition: str) -> None:
    found = diagnose(trials[trial])
    assert found is not None
    assert found.condition == condition, found


def test_what_is_memorised_was_overfit_before(trials: list[Trial]) -> None:
    assert "Overfit from epoch 1" in str(diagnose(trials[2]))


def test_what_is_learnt_by_heart_shows_in_the_loss_epochs_before_it_shows_in_pictures(
    trials: list[Trial],
) -> None:
    """Six epochs of 192 presentations of 12 images, far too long."""
    copying = trials[2].checkpoints
    by_loss = since(copying, GuardsSection(training_gap=0.01, memorisation="off", flexibility="off"))
    by_pictures = since(copying, GuardsSection(training_gap="off", flexibility="off"))
    assert by_loss is not None and by_pictures is not None
    print(
        f"found {by_pictures - by_loss} epochs earlier: epoch {by_loss} by the loss, {by_pictures} by pictures"
    )
    assert by_loss < by_pictures


def test_a_trial_that_has_learnt_nothing_has_no_gap(trials: list[Trial]) -> None:
    assert since(trials[0].checkpoints, GuardsSection(training_gap=0.01, memorisation="off")) is None


def since(checkpoints: Sequence[Checkpoint], guards: GuardsSection) -> int | None:
    """The epoch from which on all checkpoints are barred."""
    barred = [guards.barred(one.scores) is not None for one in checkpoints]
    clean = max((place for place, found in enumerate(barred) if not found), default=-1)
    return checkpoints[clean + 1].epoch if clean + 1 < len(checkpoints) else None
