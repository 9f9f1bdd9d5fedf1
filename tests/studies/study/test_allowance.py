"""What judging may cost, counted in rows and not by a clock."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics.table import Need
from studies.spec.sections import ConfirmSection, JudgeSection
from studies.study import allowance, beginning
from studies.study.allowance import Compared, Sizes, confirmation, everyday, everyday_rows, left, lowered
from studies.study.exam import Exam
from tests.studies.conftest import StudyMaker

SHARES = st.floats(0.01, 1.0)
EPOCHS = st.integers(1, 100_000)
COMPARED = st.builds(Compared, st.integers(8, 60), st.integers(1, 8))
JUDGES = st.builds(
    JudgeSection,
    share=SHARES,
    prompts=st.sampled_from([(), ("a", "b", "c")]),
    prompt_count=st.integers(0, 20),
    seeds_per_prompt=st.integers(1, 4),
    outside_prompt_count=st.integers(0, 8),
    steps=st.integers(1, 40),
    timesteps=st.integers(1, 30),
    seen_images=st.integers(0, 8),
)
CONFIRMS = st.builds(
    ConfirmSection,
    finalists=st.integers(1, 12),
    timesteps=st.integers(1, 40),
    prompt_count=st.integers(0, 20),
    seeds_per_prompt=st.integers(1, 4),
    rounds=st.integers(1, 6),
    outside_prompt_count=st.integers(0, 10),
)
FIELDS = (
    "prompt_count",
    "seeds_per_prompt",
    "outside_prompt_count",
    "steps",
    "guided",
    "timesteps",
    "seen_images",
)


NEEDS = st.frozensets(st.sampled_from(["losses", "text", "pictures", "seeds", "outside"]))
LOSSES: frozenset[Need] = frozenset({"losses"})


def at_its_least(
    judge: JudgeSection, asked: JudgeSection, compared: Compared, needs: frozenset[Need]
) -> bool:
    """Whether nothing more could be spared."""
    pictures = compared.folds * -(-judge.prompt_count // compared.folds)
    least = allowance.LEAST_TIMESTEPS if "losses" in needs else allowance.LEAST_TIMESTEPS_UNWEIGHED
    return (
        judge.timesteps <= least
        and judge.steps <= allowance.LEAST_STEPS
        and judge.seeds_per_prompt <= (2 if "seeds" in needs else 1)
        and (
            bool(asked.prompts)
            or min(pictures, compared.images) <= max(allowance.LEAST_PROMPTS, compared.folds)
        )
        and judge.outside_prompt_count <= (allowance.LEAST_OUTSIDE if "outside" in needs else 0)
        and judge.seen_images <= 1
    )


@given(asked=JUDGES, compared=COMPARED, epoch=EPOCHS, needs=NEEDS)
def test_a_checkpoint_never_costs_more_than_its_share_of_an_epoch_unless_nothing_can_be_spared(
    asked: JudgeSection, compared: Compared, epoch: int, needs: frozenset[Need]
) -> None:
    found = everyday(asked, compared, epoch, needs)
    most = asked.share * allowance.SEARCHING * allowance.ROWS_PER_TRAINED_IMAGE * epoch
    assert everyday_rows(found, compared) <= most or at_its_least(found, asked, compared, needs)
    assert all(before >= after for before, after in lowered(asked, found).values())
    assert set(lowered(asked, found)) <= set(FIELDS)


@given(asked=JUDGES, compared=COMPARED, epoch=EPOCHS, more=EPOCHS, needs=NEEDS)
def test_more_images_to_train_on_never_give_a_lesser_judge(
    asked: JudgeSection, compared: Compared, epoch: int, more: int, needs: frozenset[Need]
) -> None:
    small, large = (everyday(asked, compared, images, needs) for images in (epoch, epoch + more))
    assert everyday_rows(large, compared) >= everyday_rows(small, compared)


@given(asked=JUDGES, compared=COMPARED, epoch=EPOCHS)
def test_a_users_own_prompts_are_all_rendered(asked: JudgeSection, compared: Compared, epoch: int) -> None:
    own = asked.model_copy(update={"prompts": ("a", "b", "c")})
    found = everyday(own, compared, epoch, LOSSES)
    assert (found.prompts, found.prompt_count) == (own.prompts, own.prompt_count)


def test_what_fits_is_left_as_it_was_asked_for() -> None:
    asked = JudgeSection()
    assert everyday(asked, Compared(10), 100_000, LOSSES) == asked
    assert lowered(asked, asked) == {}


def test_what_the_objective_weighs_stays_measurable_however_little_may_be_spent() -> None:
    asked, least = JudgeSection(seeds_per_prompt=3), Compared(10, 5)
    seeds, outside = (everyday(asked, least, 1, frozenset({need})) for need in ("seeds", "outside"))
    assert (seeds.seeds_per_prompt, seeds.outside_prompt_count) == (2, 0)
    assert (outside.seeds_per_prompt, outside.outside_prompt_count) == (1, allowance.LEAST_OUTSIDE)
    again = confirmation(ConfirmSection(), Sizes.of(asked, least, frozenset({"seeds"})), 1.0)
    assert (again.seeds_per_prompt, again.outside_prompt_count) == (2, allowance.LEAST_OUTSIDE)


def test_an_exam_costs_what_its_losses_and_pictures_cost_in_every_fold() -> None:
    judge = JudgeSection(steps=4, guided=0.5, prompt_count=3, seeds_per_prompt=2, timesteps=5)
    picture = 4 + 2 + allowance.ROWS_PER_PICTURE
    exam = Exam.everyday(judge, "", outside=2)
    assert Sizes.of(judge, Compared(10), LOSSES).rows(exam) == 10 * 5 + (3 * 2 + 2) * picture
    assert Sizes.of(judge, Compared(10, 2), LOSSES).rows(exam) == 10 * 5 + (2 * 2 * 2 + 2 * 2) * picture
    own = judge.model_copy(update={"prompts": ("a", "b", "c")})
    assert Sizes.of(own, Compared(10, 2), LOSSES).rows(exam) == 10 * 5 + (2 * 3 * 2 + 2 * 2) * picture


@given(
    asked=CONFIRMS,
    judge=JUDGES,
    compared=COMPARED,
    needs=NEEDS,
    rows=st.floats(1, 1e6),
    averages=st.integers(0, allowance.AVERAGES),
)
def test_all_rounds_together_keep_to_their_rows_unless_two_finalists_are_heard_once_as_shortly_as_can_be(
    asked: ConfirmSection,
    judge: JudgeSection,
    compared: Compared,
    needs: frozenset[Need],
    rows: float,
    averages: int,
) -> None:
    sizes = Sizes.of(judge, compared, needs)
    found = confirmation(asked, sizes, rows, averages)
    exam = Exam.thorough(found, "validation", "")
    first = (found.finalists + averages + 1) * sizes.rows(exam)
    later = (found.rounds - 1) * (allowance.MEASUREMENTS_AT_ONCE + averages + 1) * sizes.rows(exam)
    least = (found.finalists, found.rounds) == (min(2, asked.finalists), 1) and exam == sizes.within(exam, 0)
    assert first + later <= rows or least
    assert all(before >= after for before, after in lowered(asked, found).values())
    assert found.preference == asked.preference


@given(judge=JUDGES, compared=COMPARED, trained=EPOCHS, checkpoints=st.integers(0, 500))
def test_finalists_have_what_the_search_left_and_always_something(
    judge: JudgeSection, compared: Compared, trained: int, checkpoints: int
) -> None:
    whole = judge.share * allowance.ROWS_PER_TRAINED_IMAGE * trained
    found, least = left(judge, compared, trained, checkpoints), whole * (1 - allowance.SEARCHING) / 2
    assert 0 < found <= whole
    assert found == pytest.approx(max(whole - checkpoints * everyday_rows(judge, compared), least))


def test_a_study_that_begins_again_is_judged_as_before_and_knows_what_was_asked(
    small_study: StudyMaker, tmp_path: Path
) -> None:
    path = small_study()
    path.write_text(path.read_text().replace("timesteps = 3", "timesteps = 80"))
    begun = beginning.begin(path, tmp_path / "ws")
    assert begun.asked
    cut = lowered(begun.asked, begun.spec.judge)
    again = beginning.reopen(tmp_path / "ws")
    assert cut["timesteps"][0] == 80 > cut["timesteps"][1]
    assert (again.spec.judge, again.asked) == (begun.spec.judge, begun.asked)


def test_a_study_that_weighs_diversity_and_other_prompts_goes_on_measuring_them(
    small_study: StudyMaker, tmp_path: Path
) -> None:
    path = small_study()
    text = path.read_text().replace("[judge]", "[judge]\nseeds_per_prompt = 3\noutside_prompt_count = 9")
    text = text.replace("seeds_per_prompt = 1", "seeds_per_prompt = 2")
    path.write_text(f"{text}[objective]\nvalidation = 1.0\ndiversity = 1.0\nflexibility = 1.0\n")
    judge = beginning.begin(path, tmp_path / "ws").spec.judge
    assert (judge.seeds_per_prompt, judge.outside_prompt_count) == (2, allowance.LEAST_OUTSIDE)
