"""A study on disk, opened as a new process would, and a search around it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from search.driver import Driver
from search.leases import Leases
from search.memory import Memory
from search.settings import SearchSettings
from search.space import Space, parse_space

SPACE: dict[str, dict[str, Any]] = {
    "optimiser.unet_lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "lora.rank": {"low": 4, "high": 64, "step": 4},
    "lora.conv": {"choices": [False, True]},
    "lora.conv_rank": {"low": 1, "high": 32, "log": True, "when": {"lora.conv": True}},
}


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Study:
    """Opens the same study again and again, each time as a fresh process."""

    folder: Path
    space: Space = field(default_factory=lambda: parse_space(SPACE))
    clock: Clock = field(default_factory=Clock)
    seed: int = 7

    def memory(self, name: str = "study", **kwargs: Any) -> Memory:
        return Memory.open(f"sqlite:///{self.folder}/study.db", name, self.folder / "artifacts", **kwargs)

    def driver(self, memory: Memory | None = None, leases: Leases | None = None, **changes: Any) -> Driver:
        settings: dict[str, Any] = {
            "sampler": "random",
            "pruner": {"name": "none"},
            "budget": {"trials": 5},
            "horizon_images": 1000,
        }
        checked = SearchSettings.model_validate(settings | changes)
        return Driver(memory or self.memory(), self.space, checked, self.seed, self.clock, leases=leases)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, made once: that takes a quarter of a second."""
    folder = tmp_path_factory.mktemp("template")
    memory = Study(folder).memory("template")
    memory._study._storage._backend.engine.dispose()  # type: ignore[attr-defined]
    return folder / "study.db"


@pytest.fixture
def new_study(tmp_path: Path, empty_database: Path) -> Callable[[], Study]:
    def make() -> Study:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        shutil.copy(empty_database, folder / "study.db")
        return Study(folder)

    return make


@pytest.fixture
def study(new_study: Callable[[], Study]) -> Study:
    return new_study()
