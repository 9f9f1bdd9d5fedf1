"""The page in Chinese: nothing is left untranslated, and reasons are said from facts."""

from __future__ import annotations

import io
import json
import math
import re
import string
from gettext import GNUTranslations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from babel.messages.catalog import Catalog

from search.patience import Patience, trial_stalled
from search.trial import Point, Reason
from studies.report import choice, explanation
from studies.report.explanation import Coded
from studies.report.study_page import write
from studies.selection.document import REFUSALS
from studies.selection.verdict import provisional
from studies.text.i18n import ENGLISH, LANGUAGES, TRANSLATED, Translator, path, translator
from tests.studies import sentences
from tests.studies.invented import HOSTILE, TRAP, Invented, invent
from tests.studies.report.test_page import Page
from tests.studies.spec.test_guards import scores as card
from tools import messages
from trainer.training.run import TrainingRun

CHINESE = translator("zh")
KNOWN = (
    "LoRA|WebUI|ComfyUI|CLIP|JavaScript|PED-ANOVA|Optuna|NaN|nan|alpha|dim|batch size|CFG|log|lorasearch|models|Lora|"
    "loras|best|safetensors|select|weights|export|checkpoints|csv|adamw|lion|true|false|random|asha|someone/clip|ws|"
    "webui|the disk was full|torch|cpu|diffusers|transformers|peft|optuna"
)
"""Proper nouns, values, commands and what a trial's own failure said."""


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    return invent(tmp_path_factory.mktemp("rich"), trials=12, rich=True)


@pytest.fixture(scope="module")
def page(rich: Invented) -> Page:
    return Page(write(rich.study, rich.selection, CHINESE).read_text(encoding="utf-8"))


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_babel_reads_every_sentence_of_code_and_templates() -> None:
    said = sentences.of_template() | set(sentences.of_code())
    assert len(said) > 150
    assert set(messages.sentences()) == said


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_has_a_translation_and_no_translation_is_left_over(language: str) -> None:
    """Where this fails, `make messages` brings the catalogue into step, and a translator the rest."""
    catalogue = messages.known(language)
    found = {str(message.id): message for message in catalogue if message.id}
    said = sentences.of_template() | set(sentences.of_code())
    assert {text for text in said if text not in found or not found[text].string} == set()
    assert set(found) - said == set()
    assert [text for text, message in found.items() if message.fuzzy] == []
    assert dict(catalogue.obsolete) == {}


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_catalogues_are_as_make_messages_writes_them(language: str) -> None:
    renewed = messages.renewed(language)
    assert path(language, "po").read_bytes() == messages.po(renewed)
    assert path(language, "mo").read_bytes() == messages.mo(renewed)
    assert not re.search(r"-Date:|^#:", path(language, "po").read_text(encoding="utf-8"), re.MULTILINE)


def test_what_waits_for_a_translator_stays_english(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A known sentence is kept with its remark, a doubtful one is not said, a new one waits, an old one goes."""
    po = tmp_path / "xx.po"
    po.write_text(
        '# a remark\nmsgid "best"\nmsgstr "最佳"\n\n#, fuzzy\nmsgid "base"\nmsgstr "基"\n\n'
        'msgid "long gone"\nmsgstr "没了"\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(messages.i18n, "path", lambda language, kind: po)
    monkeypatch.setattr(messages, "sentences", lambda: ["base", "best", "new"])
    renewed = messages.renewed("zh")
    say = Translator("zh", GNUTranslations(io.BytesIO(messages.mo(renewed))))
    assert [say(text) for text in ("best", "base", "new", "long gone")] == [
        "最佳",
        "base",
        "new",
        "long gone",
    ]
    written = messages.po(renewed).decode()
    assert "# a remark\n" in written and "#, fuzzy" in written and "long gone" not in written


@pytest.mark.parametrize("english", sorted(str(message.id) for message in messages.known("zh") if message.id))
def test_a_translation_has_the_same_places_and_marks(english: str) -> None:
    assert places(CHINESE.pattern(english)) == places(english)
    tags = re.compile(r"</?\w+>")
    assert sorted(tags.findall(CHINESE.pattern(english))) == sorted(tags.findall(english))


def test_the_chinese_page_has_no_english_left(rich: Invented, page: Page) -> None:
    assert english_left(page, rich) == []


@pytest.mark.parametrize("clip", [True, False])
def test_the_provisional_page_has_no_english_left(tmp_path: Path, clip: bool) -> None:
    found = invent(tmp_path, trials=4, clip=clip, finished=False, rich=clip)
    page = Page(write(found.study, found.selection, CHINESE).read_text(encoding="utf-8"))
    assert english_left(page, found) == []


def test_rivals_and_barred_checkpoints_are_told_in_chinese(rich: Invented) -> None:
    confirmation = rich.selection.confirmation
    assert confirmation is not None
    close = tuple(one.model_copy(update={"close": True}) for one in confirmation.finalists)
    unclear = confirmation.model_copy(update={"separable": False, "finalists": close})
    told = (Reason("cannot_tell", {"rivals": 2, "trial": 3, "epoch": 1, "images": 40}),)
    selection = rich.selection.model_copy(update={"confirmation": unclear, "answers": told})
    page = Page(write(rich.study, selection, CHINESE).read_text(encoding="utf-8"))
    words = " ".join(page.texts)
    assert "难分高下" in words and "分不出高下" in words and "触发护栏" in words
    assert english_left(page, rich) == []


def english_left(page: Page, found: Invented) -> list[str]:
    """Texts in which English words stand that are no names, values or commands."""
    spoken = [*page.texts, *page.labels]
    for plot in page.plots.values():
        spoken += strings(json.loads(plot))
    own = [*found.study.spec.search.space, str(found.workspace.root.parent), "sks thing", HOSTILE, TRAP]
    own += [str(found.study.spec.plan["base"]["path"]), "invented", "sks", "thing", "number"]
    own += [found.selection.winner.file, "lorasearch run"]
    return [text for text in spoken if re.search(r"[A-Za-z]{3,}", _foreign(text, own))]


def _foreign(text: str, own: list[str]) -> str:
    for word in sorted(own, key=len, reverse=True):
        text = text.replace(word, " ")
    text = re.sub(r"%\{[^}]*\}|</?\w+>|[\w-]+\.(png|csv|safetensors)|(?:\w+\.)+\w*…?", " ", text)
    text = re.sub(
        r"\b(optimiser|lora|unet_lr|name|rank|text_encoder|text_lr_over_|encoder|text)\b", " ", text
    )
    return re.sub(rf"\b(?:{KNOWN})\b", " ", text)


def strings(figure: dict[str, Any]) -> list[str]:
    """What a person reads in a plot."""
    layout = figure["layout"]
    found = [axis["title"]["text"] for key, axis in layout.items() if "axis" in key and axis.get("title")]
    found += [note["text"] for note in layout.get("annotations", [])]
    for trace in figure["data"]:
        found += [trace.get("name") or "", trace.get("hovertemplate") or ""]
        text = trace.get("text") or []
        found += [str(t) for t in (text if isinstance(text, list) else [text])]
    return found


def test_the_explanation_in_the_document_is_what_terminal_and_page_say(rich: Invented) -> None:
    told = rich.selection.explanation
    assert told is not None
    assert told.answer == choice.answer(rich.selection) == rich.selection.summary != ""
    assert (told.reason, told.rule) == (choice.reason(rich.selection), explanation.rule(rich.selection.rule))
    assert choice.reason(provisional(rich.study)).endswith("not yet confirmed.")


def test_what_trainer_judge_and_search_end_with_is_said_in_both_languages() -> None:
    progress = SimpleNamespace(images_seen=80, running_loss=9.0)
    scaler = SimpleNamespace(is_enabled=lambda: False)
    noise = SimpleNamespace(offset=0.0, adaptive_scale=0.0)
    stepper, plan = SimpleNamespace(scaler=scaler), SimpleNamespace(noise=noise)
    run: Any = SimpleNamespace(_silence=1.0, progress=progress, stepper=stepper, plan=plan)
    ends: list[tuple[Coded | None, str]] = [
        (TrainingRun.trouble(run, math.nan, 1.0), "the loss became nan after 80 images"),
        (TrainingRun.trouble(run, 1.0, math.inf), "the gradient became inf after 80 images"),
        (
            TrainingRun.trouble(run, 1.0, 1.0),
            "the loss rose to 9.00 after 80 images (predicting no noise at all scores 1)",
        ),
        (card(validation=(math.nan, 0.1)).unusable, "the validation loss is NaN or infinite"),
        (
            card().model_copy(update={"broken": 3}).unusable,
            "3 of 4 renders are black, constant or NaN",
        ),
        (
            trial_stalled([Point(10, 1.0), Point(20, 0.5), Point(30, 0.4)], Patience(checkpoints=1)),
            "its last 1 checkpoints are no better than the one after 10 images, so it was trained no further",
        ),
        (Reason("no_finite_objective"), "no checkpoint had a finite objective"),
    ]
    for reason, words in ends:
        assert reason is not None
        assert explanation.clause(reason) == words
        assert re.search(r"[一-鿿]", explanation.clause(reason, CHINESE)), words


def test_a_trial_that_guards_bar_as_a_whole_says_by_which() -> None:
    guards = {"by": "copies", "level": 5.0, "level_error": 0.25, "rise": 6.04, "rise_error": 1.0}
    assert explanation.sentence(Reason("barred", guards)) == (
        "a guard bars every checkpoint: memorisation is 5.0 ± 0.2 points, 6.0 ± 1.0 above the base model's"
    )
    told = explanation.sentence(Reason("barred", {"by": "told", "text": "it copies"}), CHINESE)
    assert told == "所有检查点都触发护栏：it copies"


def test_a_failure_of_unknown_kind_is_shown_as_it_was_stored() -> None:
    assert explanation.sentence(Reason.told("The disk was full."), CHINESE) == "The disk was full."
    assert (
        explanation.sentence(Reason("from_tomorrow", {"a": 1, "b": "x"}), CHINESE)
        == "from_tomorrow (a 1, b x)"
    )


def test_figures_that_json_lacks_do_not_hide_a_reason() -> None:
    assert "nan" in explanation.sentence(Reason("forgets", {"loss": 6.0, "loss_error": None}))


def test_every_code_in_the_source_has_its_sentence() -> None:
    codes = sentences.codes()
    assert len(codes) > 15
    assert codes - sentences.answers() - {"told", "barred", "copies_and_forgets"} == set(explanation.REASONS)


def test_every_answer_has_its_own_sentence_in_both_languages(rich: Invented) -> None:
    copied = {"by": "copies", "level": 5.0, "level_error": 0.25, "rise": 6.0, "rise_error": 1.0}
    counts = {"trial": 3, "epoch": 1, "rivals": 2, "images": 40}
    values = {"mean": 0.1, "error": 0.2, "tested": True, **copied, **counts}
    codes = sentences.answers()
    said = {
        say.language: {
            choice.answer(rich.selection.model_copy(update={"answers": (Reason(code, values),)}), say)
            for code in codes
        }
        for say in (ENGLISH, CHINESE)
    }
    assert codes > REFUSALS
    assert {language: len(of) for language, of in said.items()} == {"en": len(codes), "zh": len(codes)}
    assert not any(re.search(r"[A-Za-z]{2,}", text) for text in said["zh"])


def test_values_that_look_like_places_stay_values() -> None:
    catalogue = Catalog(locale="de", fuzzy=False)
    catalogue.add("{name} wins", "gewinnt: {name}")
    say = Translator("xx", GNUTranslations(io.BytesIO(messages.mo(catalogue))))
    assert say("{name} wins", name="{0}{name}") == "gewinnt: {0}{name}"


def test_both_languages_show_the_same_figures(rich: Invented, page: Page) -> None:
    english = Page(write(rich.study, rich.selection).read_text(encoding="utf-8"))
    figure = re.compile(r"[−+]\d+\.\d+")
    assert sorted(figure.findall(" ".join(page.texts))) == sorted(figure.findall(" ".join(english.texts)))
    assert page.pictures == english.pictures


def test_an_unknown_language_is_no_choice() -> None:
    assert set(LANGUAGES) == {"en", "zh"}
    with pytest.raises(KeyError):
        translator("fr")
