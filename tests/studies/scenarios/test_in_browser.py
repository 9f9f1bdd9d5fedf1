"""The page and the dashboard in a real browser: nothing fails, nothing leaves the machine, pictures show."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from studies.commands import dashboard
from studies.report.study_page import write
from studies.text.i18n import translator
from tests.postgres import running
from tests.proxy import proxied
from tests.studies.browser import DESK, PHONE, Look, chromium, looking, needs_chromium
from tests.studies.invented import HOSTILE, MEMORISING, OVERFIT, Invented, invent
from tests.studies.scenarios.test_hostile_words import hostile as hostile

Running = Callable[[Path], AbstractContextManager[str]]

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Invented:
    found = invent(tmp_path_factory.mktemp("rich"), trials=12, rich=True)
    dashboard.annotate(found.study, found.selection)
    return found


@pytest.fixture(scope="module")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("screens")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(rich: Invented) -> Iterator[str]:
    with served(rich) as found:
        yield found


@contextmanager
def served(found: Invented) -> Iterator[str]:
    """The address of a study's dashboard while the block lasts."""
    server = dashboard.serve(found.workspace, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def postgresql(_folder: Path) -> Iterator[str]:
    with running() as server:
        yield server.url


@pytest.mark.parametrize(
    ("language", "size", "dark"),
    [("en", DESK, False), ("en", PHONE, True), ("zh", DESK, True), ("zh", PHONE, False)],
)
def test_the_report_shows_everything_and_runs_nothing_foreign(
    rich: Invented, browser: Any, screens: Path, language: str, size: tuple[int, int], dark: bool
) -> None:
    path = write(rich.study, rich.selection, translator(language))
    kept = shutil.copy(path, path.with_name(f"{language}.html"))
    with looking(browser, f"file://{kept}", size, dark) as look:
        look.page.wait_for_selector("#plot-timesteps .main-svg")
        assert look.broken_images() == []
        assert look.overflow() == 0
        drawn = look.page.locator(".plot > .plot-container").count()
        assert drawn == look.page.locator("script[data-plot]").count() >= 11
        assert HOSTILE in look.page.inner_text("#grid")
        assert look.page.locator("main script:not([data-plot])").count() == 0
        look.save(f"report-{language}-{size[0]}", screens)
        assert look.troubles == []


def test_the_page_prints_on_paper_without_cutting_tables(rich: Invented, browser: Any, screens: Path) -> None:
    path = write(rich.study, rich.selection)
    with looking(browser, f"file://{path}", (794, 1123)) as look:
        look.page.wait_for_selector("#plot-timesteps .main-svg")
        look.page.emulate_media(media="print")
        clipped = "() => [...document.querySelectorAll('.tall')].filter(b => b.clientHeight < b.scrollHeight).length"
        assert look.page.evaluate(clipped) == 0
        look.save("report-print", screens)


def test_the_study_page_of_the_dashboard_has_its_plots_and_the_verdict(
    address: str, browser: Any, screens: Path
) -> None:
    with looking(browser, f"{address}/dashboard/studies/1", DESK, home=address) as look:
        look.page.wait_for_selector("text=Pareto front of the checkpoints")
        look.page.wait_for_timeout(500)
        look.save("dashboard-study", screens)
        look.page.goto(f"{address}/dashboard/studies/1/note")
        look.page.wait_for_selector("text=Finalists, judged again")
        look.save("dashboard-verdict", screens)
        assert look.broken_images() == []
        assert look.troubles == []


@pytest.mark.parametrize(
    ("trial", "words"), [(OVERFIT, "Overfit from epoch 2"), (MEMORISING, "Memorising from epoch")]
)
def test_a_trial_page_shows_its_contact_sheet_and_its_diagnosis(
    address: str, browser: Any, screens: Path, trial: int, words: str
) -> None:
    where = f"{address}/dashboard/studies/1/trials?numbers={trial}"
    with looking(browser, where, DESK, home=address) as look:
        look.page.wait_for_selector(f"text={words}")
        look.page.wait_for_selector("img[alt='contact sheet']")
        look.page.wait_for_load_state("networkidle")
        assert look.broken_images() == []
        assert look.page.locator("a[href^='javascript']").count() == 0
        assert HOSTILE in look.page.inner_text("body")
        look.save(f"dashboard-trial-{trial}", screens)
        assert look.troubles == []


@pytest.mark.parametrize("running", [postgresql, proxied], ids=["postgresql", "grpc"])
def test_the_dashboard_shows_a_study_that_a_server_holds(
    browser: Any, screens: Path, tmp_path: Path, running: Running
) -> None:
    with running(tmp_path) as url:
        found = invent(tmp_path / "study", storage=url)
        dashboard.annotate(found.study, found.selection)
        with (
            served(found) as address,
            looking(browser, f"{address}/dashboard/studies/1", DESK, home=address) as look,
        ):
            look.page.wait_for_selector("text=Pareto front of the checkpoints")
            look.page.goto(f"{address}/dashboard/studies/1/trials?numbers=0")
            look.page.wait_for_selector("img[alt='contact sheet']")
            look.page.wait_for_load_state("networkidle")
            assert look.broken_images() == []
            look.save(f"dashboard-{running.__name__}", screens)
            assert look.troubles == []


def test_hostile_words_are_read_and_never_obeyed(hostile: Invented, browser: Any, screens: Path) -> None:
    dashboard.annotate(hostile.study, hostile.selection)
    page = write(hostile.study, hostile.selection)
    with looking(browser, f"file://{page}", DESK) as look:
        look.page.wait_for_selector("#plot-timesteps .main-svg")
        _has_them_as_words(look)
        look.save("hostile-report", screens)
    with served(hostile) as address:
        where = f"{address}/dashboard/studies/1/trials?numbers={OVERFIT}"
        with looking(browser, where, DESK, home=address) as look:
            look.page.wait_for_selector("img[alt='contact sheet']")
            look.page.wait_for_load_state("networkidle")
            _has_them_as_words(look)
            look.save("hostile-trial", screens)


def _has_them_as_words(look: Look) -> None:
    assert "<script>parent.alert(1)</script>" in look.page.inner_text("body")
    assert look.page.locator("[onerror], [onfocus], [onmouseover], a[href^='javascript']").count() == 0
    assert look.page.locator("img[src*='evil'], a[href*='evil']").count() == 0
    assert look.troubles == []
