"""A real browser for tests: collects what goes wrong in a page, and keeps a screenshot to look at."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH")
PATIENCE = 180_000
"""Milliseconds that a page may take: a machine that does other work is many times slower than an idle one."""
PHONE, DESK = (390, 844), (1280, 900)
_IMAGES = "() => [...document.images].map(i => [i.complete && i.naturalWidth, i.src.slice(0, 60)])"
_OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@dataclass
class Look:
    """An open page and everything that went wrong in it."""

    page: Any
    troubles: list[str] = field(default_factory=list)

    def broken_images(self) -> list[str]:
        """Addresses of images that show nothing."""
        return [source for width, source in self.page.evaluate(_IMAGES) if not width]

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate(_OVERFLOW))

    def save(self, name: str, folder: Path, whole: bool = True) -> None:
        """Keeps a screenshot, in LORASEARCH_SCREENS if that is set."""
        target = Path(os.environ.get("LORASEARCH_SCREENS") or folder)
        target.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=target / f"{name}.png", full_page=whole)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of its own process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def looking(
    browser: Any, address: str, size: tuple[int, int], dark: bool = False, home: str = "file:"
) -> Iterator[Look]:
    """Opens an address; requests to anywhere but ``home`` and failed ones are troubles, as are console errors."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        is_mobile=width < 500,
        device_scale_factor=1,
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    look = Look(page)
    page.on("console", lambda m: look.troubles.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: look.troubles.append(str(error)))
    page.on("requestfailed", lambda request: look.troubles.append(f"failed: {request.url}"))
    page.on("response", lambda r: look.troubles.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    page.on("request", lambda r: _check(r.url, home, look))
    page.on("dialog", lambda dialog: (look.troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(address)
    page.wait_for_load_state("networkidle")
    yield look
    context.close()


def _check(address: str, home: str, look: Look) -> None:
    if not address.startswith((home, "data:", "blob:", "about:")):
        look.troubles.append(f"asks the network: {address}")
