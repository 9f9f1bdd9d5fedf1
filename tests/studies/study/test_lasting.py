"""A study is gone on with as it was begun: what enters a score cannot change without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.errors import StudyError
from studies.spec.study_file import StudySpec, load
from studies.study.beginning import begin
from studies.study.lasting import FREE, LASTING, changes, settings
from tests.studies.conftest import StudyMaker


def replaced(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("resolution = 64", "resolution = 32", "data.resolution was 64 when this study began, but is 32 now"),
        ('micro-sd"', 'micro-sd"\nclip_skip = 2', "base.clip_skip was 1 when this study began, but is 2 now"),
        (
            'micro-sd"',
            'micro-sd"\nprediction_type = "v_prediction"',
            "base.prediction_type was left out when",
        ),
        ("resolution = 64", "resolution = 64\nflip = true", "data.flip was false when"),
        ("resolution = 64", "resolution = 64\n[plan.noise]\noffset = 0.1", "noise.offset was 0.0 when"),
        ("steps = 3\ntimesteps = 3", "steps = 3\ntimesteps = 8", "judge.timesteps was 3 when"),
        ("steps = 3", "steps = 4", "judge.steps was 3 when"),
        (
            "prompt_count = 2",
            'prompts = ["a cat"]',
            "judge.prompts was [] when this study began, but is ['a cat']",
        ),
        ("timesteps = 3", 'timesteps = 3\nsubject = "person"', "judge.outside_prompts was 'general' when"),
        ("timesteps = 3", 'timesteps = 3\nsubject = "object"', "judge.subject was 'style' when"),
        ("timesteps = 3", 'timesteps = 3\ntrigger = "sks"', "judge.trigger was '' when"),
        ("resolution = 64", "resolution = 64\n[plan.lora]\nalpha = 8.0", "lora.alpha was left out when"),
        ("folds = 0", "folds = 5", "split.folds was 0 when"),
        ("folds = 0", "folds = 0\nvalidation = 0.2", "split.validation was 0.15 when"),
    ],
)
def test_what_enters_a_score_or_the_split_cannot_change(
    small_study: StudyMaker, tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = small_study()
    begin(path, tmp_path / "workspace")
    with pytest.raises(StudyError) as raised:
        begin(replaced(path, old, new), tmp_path / "workspace")
    assert any(told in problem for problem in raised.value.problems), raised.value.problems
    assert "restore it, or start a new study under another name" in str(raised.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("trials = 4", "trials = 40"),
        ("images_per_trial = 32", "images_per_trial = 48"),
        ("low = 1e-4", "low = 1e-5"),
        ("resolution = 64", 'resolution = 64\ncache_latents = "memory"'),
        ("timesteps = 3", "timesteps = 3\nmax_rows = 8"),
        ("timesteps = 3", 'timesteps = 3\noutside_prompts = "general"'),
        ("finalists = 3", "finalists = 4"),
        ("size = 3", "size = 2"),
        ("[split]", "[guards]\nmemorisation = 5.0\n[split]"),
    ],
)
def test_how_much_how_fast_and_what_counts_may_change(
    small_study: StudyMaker, tmp_path: Path, old: str, new: str
) -> None:
    path = small_study()
    first = begin(path, tmp_path / "workspace")
    again = begin(replaced(path, old, new), tmp_path / "workspace")
    assert again.seed == first.seed


def test_images_and_models_may_move(small_study: StudyMaker, tmp_path: Path) -> None:
    path = small_study()
    begin(path, tmp_path / "workspace")
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    begin(replaced(path, 'folder = "images"', 'folder = "elsewhere"'), tmp_path / "workspace")


def test_all_that_changed_is_told_at_once(small_study: StudyMaker, tmp_path: Path) -> None:
    path = small_study()
    begin(path, tmp_path / "workspace")
    replaced(replaced(path, "\nsteps = 3", "\nsteps = 5"), "folds = 0", "folds = 3")
    with pytest.raises(StudyError) as raised:
        begin(path, tmp_path / "workspace")
    assert len(raised.value.problems) == 2


def test_a_field_that_is_searched_now_must_have_had_its_default(
    small_study: StudyMaker, tmp_path: Path
) -> None:
    """A trial of before has no value of its own, so that the plan's is the trial's."""
    path = replaced(small_study(), "resolution = 64", "resolution = 64\n[plan.noise]\noffset = 0.1")
    begin(path, tmp_path / "workspace")
    replaced(path, "\n[plan.noise]\noffset = 0.1", "")
    replaced(path, '"lora.rank"', '"noise.offset" = { low = 0.0, high = 0.1 }\n"lora.rank"')
    with pytest.raises(
        StudyError, match=r"noise\.offset was 0\.1 when this study began, but is searched now"
    ):
        begin(path, tmp_path / "workspace")
    replaced(path, '"noise.offset" = { low = 0.0, high = 0.1 }\n', "")
    with pytest.raises(StudyError, match=r"noise\.offset was 0\.1 when this study began, but is 0\.0 now"):
        begin(path, tmp_path / "workspace")


def test_every_section_says_whether_it_lasts() -> None:
    assert {*LASTING, *FREE, "plan"} == set(StudySpec.model_fields)


def test_what_one_side_does_not_know_is_no_change(small_study: StudyMaker) -> None:
    spec = load(small_study())
    assert changes({"data.resolution": 64, "data.forgotten": 1}, spec) == changes({}, spec) == []
    assert {"data.resolution", "judge.steps", "split.folds"} <= settings(spec).keys()
    assert {"lora.rank", "base.path", "judge.max_rows", "seed"}.isdisjoint(settings(spec))
