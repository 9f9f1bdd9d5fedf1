from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from search.trial import Failed, Reason
from studies.commands import dashboard
from studies.report import plots
from studies.report.choice import answer, baselines
from studies.report.notes import escaped, short, study_note, trial_note
from studies.study.trial import Trial, read_trials
from tests.studies.invented import HOSTILE, MEMORISING, OVERFIT, TRAP, Invented, invent

markdown_it = pytest.importorskip("markdown_it")
"""An independent reader of Markdown; rich brings it along."""


class Seen(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\u2060", "")


def rendered(note: str) -> Seen:
    """As a dashboard might show it, with HTML allowed and tables."""
    reader = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table")
    return Seen(reader.render(note))


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    return invent(tmp_path_factory.mktemp("rich"), trials=6, rich=True)


@pytest.mark.parametrize(
    "words",
    [
        HOSTILE,
        TRAP,
        "# head",
        "1. one",
        "- item",
        "`code`",
        "![x](http://a/b)",
        "<img src=x onerror=alert(1)>",
        "a|b",
    ],
)
def test_foreign_words_are_shown_as_they_are(words: str) -> None:
    alone = rendered(escaped(words))
    assert [tag for tag, _ in alone.tags] == ["p"]
    assert alone.text.strip() == words
    cell = rendered(f"| a | b |\n|---|---|\n| {escaped(words)} | end |")
    assert {tag for tag, _ in cell.tags} <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert cell.text.split("\n").count(words) == 1


def test_line_breaks_in_a_caption_do_not_begin_a_new_block() -> None:
    assert rendered(escaped("one\n\n# two")).text.strip() == "one # two"


def test_a_trial_note_shows_diagnosis_figures_and_one_sheet(rich: Invented) -> None:
    trial = Trial.of(rich.study.memory.record(OVERFIT))
    seen = rendered(trial_note(trial, rich.selection, rich.study.prompts, has_sheet=True))
    assert "Overfit from epoch 2" in seen.text
    assert "Remedy: fewer repeats or epochs" in seen.text
    assert [a.get("alt") for tag, a in seen.tags if tag == "img"] == ["contact sheet"]
    assert not [tag for tag, _ in seen.tags if tag in ("script", "a")]
    assert HOSTILE in seen.text or TRAP in seen.text
    for name in ("CLIP image similarity", "diversity between seeds", "memorisation"):
        row = seen.text[seen.text.index(name) :].split("\n")[1:4]
        assert "±" in row[0] and all(re.fullmatch(r"−?\d+\.\d+", value) for value in row[1:])


def test_a_barred_trial_says_why_it_ended(rich: Invented) -> None:
    note = trial_note(Trial.of(rich.study.memory.record(MEMORISING)), rich.selection)
    seen = rendered(note)
    assert "Memorising from epoch" in seen.text
    assert "It ended as infeasible: a guard bars every checkpoint" in seen.text


def test_a_failure_with_markup_in_its_message_is_only_shown() -> None:
    trial = Trial(9, {}, "failed", reason=Reason.told(f"{HOSTILE} {TRAP}"))
    seen = rendered(trial_note(trial))
    assert {tag for tag, _ in seen.tags} == {"p"}
    assert HOSTILE in seen.text and "[click](javascript:alert(1))" in seen.text


def test_the_study_note_has_the_verdict_in_figures_and_says_what_trials_suffer_from(rich: Invented) -> None:
    seen = rendered(study_note(rich.selection, read_trials(rich.study.memory)))
    winner = rich.selection.winner
    assert f"Use: trial {winner.trial}, epoch {winner.epoch}" in seen.text
    assert "1 memorising" in seen.text
    assert seen.text.startswith(answer(rich.selection))
    (recipe,) = baselines(rich.selection)
    assert recipe in seen.text


def test_the_note_of_a_refused_choice_does_not_say_to_use_it(rich: Invented) -> None:
    worse = Reason("worse_than_base", {"mean": -0.5, "error": 0.1, "tested": True})
    refused = rich.selection.model_copy(update={"answers": (worse,)})
    seen = rendered(study_note(refused, read_trials(rich.study.memory)))
    assert seen.text.startswith("Nothing beats the base model")
    assert "Best of what was tried: trial" in seen.text and "Use: trial" not in seen.text


def test_ended_trials_carry_short_attributes(rich: Invented) -> None:
    memory = rich.study.memory
    assert memory.annotation(OVERFIT, "best_epoch") == 2
    assert memory.annotation(OVERFIT, "best_validation") == "−0.0600 ± 0.0060"
    assert memory.annotation(OVERFIT, "diagnosis").startswith("Overfit from epoch 2")
    assert memory.annotation(MEMORISING, "diagnosis").startswith("Memorising")
    assert memory.annotation(2, "diagnosis") == "Diverged: the loss became nan after 17 images."
    assert "best_epoch" not in short(Trial(0, {}, "running"), Failed(Reason.told("the disk was full")))

    return Failed(Reason.told("the disk was full"))


def test_the_study_has_its_own_plots_in_the_dashboard_once(rich: Invented) -> None:
    from optuna_dashboard._custom_plot_data import list_graph_object_ids

    for _ in range(2):
        dashboard.annotate(rich.study, rich.selection)
    attributes = rich.study.memory._study._storage.get_study_system_attrs(rich.study.memory._study._study_id)
    drawn = plots.draw(rich.study.spec, rich.study.memory, rich.selection, read_trials(rich.study.memory))
    assert sorted(list_graph_object_ids(attributes)) == sorted(set(drawn) & set(dashboard.TITLES))
    assert {"curves", "parallel", "pareto", "importance"} <= set(drawn)


def test_an_edited_note_is_kept(tmp_path: Path) -> None:
    from optuna_dashboard import get_note, save_note

    found = invent(tmp_path, trials=2, rich=True)
    trial = found.study.memory._trial(0)
    save_note(trial, "mine")
    dashboard.annotate(found.study, found.selection)
    assert get_note(trial) == "mine"
