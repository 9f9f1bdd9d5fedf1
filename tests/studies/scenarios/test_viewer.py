"""The view of one picture at a time, by keyboard and by touch, and votes that do not know what they compare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studies.report.study_page import write
from tests.studies.browser import DESK, PHONE, chromium, looking, needs_chromium
from tests.studies.invented import invent

pytestmark = [pytest.mark.browser, needs_chromium]

SHOWN = "() => document.getElementById('viewer-one').alt"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    found = invent(tmp_path_factory.mktemp("rich"), trials=12, rich=True)
    return f"file://{write(found.study, found.selection)}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def rows(page: Any) -> list[str]:
    return [row.split("\n")[0].removesuffix(" ★") for row in page.locator("#grid tbody th").all_inner_texts()]


def prompts(page: Any) -> list[str]:
    found: list[str] = page.locator("#grid thead th:not(.label)").all_text_contents()
    return found


def test_keys_lead_through_prompts_and_epochs_and_show_base_and_held_out(
    browser: Any, address: str, tmp_path: Path
) -> None:
    with looking(browser, address, DESK) as look:
        names, texts = rows(look.page), prompts(look.page)
        base, *epochs, real = names
        look.page.click("#viewer-open")
        won = look.page.inner_text("#viewer-what").removesuffix(" ★")
        assert won in epochs and look.page.evaluate(SHOWN) == f"{won}: {texts[0]}"
        look.page.keyboard.press("ArrowRight")
        assert look.page.evaluate(SHOWN) == f"{won}: {texts[1]}"
        look.save("viewer", tmp_path, whole=False)
        for _ in epochs:
            look.page.keyboard.press("ArrowUp")
        assert look.page.evaluate(SHOWN) == f"{epochs[0]}: {texts[1]}"
        look.page.keyboard.press("ArrowDown")
        assert look.page.evaluate(SHOWN) == f"{epochs[1]}: {texts[1]}"
        look.page.keyboard.press("b")
        assert look.page.evaluate(SHOWN) == f"{base}: {texts[1]}"
        look.page.keyboard.press("h")
        assert look.page.evaluate(SHOWN) == f"{real}: {texts[1]}"
        look.page.keyboard.press("h")
        assert look.page.evaluate(SHOWN) == f"{epochs[1]}: {texts[1]}"
        look.page.keyboard.press("Escape")
        assert not look.page.locator("#viewer").is_visible()
        assert look.troubles == []


def test_a_picture_that_is_clicked_opens_where_it_is(browser: Any, address: str) -> None:
    with looking(browser, address, DESK) as look:
        look.page.locator("#grid tbody tr").nth(1).locator("img").nth(1).click()
        assert look.page.evaluate(SHOWN) == f"{rows(look.page)[1]}: {prompts(look.page)[1]}"


def test_a_swipe_does_what_an_arrow_does(browser: Any, address: str, tmp_path: Path) -> None:
    with looking(browser, address, PHONE) as look:
        look.page.click("#viewer-open")
        texts, name = prompts(look.page), look.page.inner_text("#viewer-what").removesuffix(" ★")
        swipe(look.page, (300, 420), (80, 430))
        assert look.page.evaluate(SHOWN) == f"{name}: {texts[1]}"
        swipe(look.page, (80, 420), (300, 430))
        assert look.page.evaluate(SHOWN) == f"{name}: {texts[0]}"
        swipe(look.page, (200, 400), (205, 410))
        assert look.page.evaluate(SHOWN) == f"{name}: {texts[0]}", "a tap is no swipe"
        assert look.overflow() == 0
        look.save("viewer-phone", tmp_path, whole=False)
        assert look.troubles == []


def swipe(page: Any, start: tuple[int, int], end: tuple[int, int]) -> None:
    page.evaluate(
        """([start, end]) => {
          const stage = document.querySelector("#viewer .stage");
          const touch = { pointerType: "touch", bubbles: true };
          const at = (type, [clientX, clientY]) =>
            stage.dispatchEvent(new PointerEvent(type, { clientX, clientY, ...touch }));
          at("pointerdown", start);
          at("pointerup", end);
        }""",
        [start, end],
    )


def test_blind_votes_are_counted_for_what_was_shown_and_can_be_saved(
    browser: Any, address: str, tmp_path: Path
) -> None:
    with looking(browser, address, DESK) as look:
        texts = prompts(look.page)
        look.page.click("#blind-start")
        pictures = look.page.evaluate(
            "() => Object.fromEntries([...document.querySelectorAll('#grid tbody tr')].map(row => "
            "[row.cells[0].firstChild.textContent.trim().replace(' ★', ''), "
            "[...row.querySelectorAll('img')].map(image => image.src)]))"
        )
        wanted = []
        for number, _ in enumerate(texts):
            assert "trial" not in look.page.inner_text("#viewer") and "epoch" not in look.page.inner_text(
                "#viewer"
            )
            sides = look.page.evaluate(
                "() => ['one', 'two'].map(n => document.getElementById('viewer-' + n).src)"
            )
            choice = number % 3
            better = None if choice == 0 else sides[choice - 1]
            wanted.append([name for name, of in pictures.items() if better and of[number] == better])
            if number == 0:
                look.save("viewer-blind", tmp_path, whole=False)
            look.page.keyboard.press(str(choice))
        assert not look.page.locator("#viewer").is_visible()
        assert " · " in look.page.inner_text("#blind-result")
        with look.page.expect_download() as download:
            look.page.click("#blind-save")
        votes = json.loads(Path(download.value.path()).read_text())
        assert download.value.suggested_filename == "votes.json"
        assert votes["format"] == 1 and [vote["prompt"] for vote in votes["votes"]] == texts
        for vote, names in zip(votes["votes"], wanted, strict=True):
            assert vote["better"] in names if names else vote["better"] is None
        assert look.troubles == []
