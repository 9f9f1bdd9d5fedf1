from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    """Makes folders with four files each that are named as images, and gives the first one's parent."""

    def make(*folders: str, count: int = 4) -> Path:
        for name in folders:
            place = tmp_path / name
            place.mkdir(parents=True)
            for i in range(count):
                (place / f"{i}.png").write_bytes(b"")
        return (tmp_path / folders[0]).parent

    return make
