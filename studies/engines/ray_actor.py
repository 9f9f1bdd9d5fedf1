"""What runs in a Ray worker's process: one device's ``Worker``, and how it is asked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.engines.engine import Event
from studies.spec.study_file import StudySpec
from studies.workspace import Workspace

if TYPE_CHECKING:
    from studies.engines.worker import Worker
    from trainer.data.dataset import Dataset

Order = tuple[str, tuple[Any, ...]]
"""A method of ``Worker`` and its arguments."""
ADVANCE = "advance"
"""The one whose results are events."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker answers to its orders."""

    result: Any
    """Of the last order that gives one."""
    events: tuple[Event, ...]
    """What happened to trials."""
    steps: tuple[tuple[int, float | None], ...]
    """Images and training loss of each step that was taken."""
    capacity: int
    """How many trials it can train at a time."""
    seconds: Mapping[str, float]
    """Its working time so far, by kind of work."""


class RayActor:
    """An actor; it loads nothing before it is opened, so that it answers as soon as it has a place."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._steps: list[tuple[int, float | None]] = []

    def placed(self) -> int:
        """Its process's number, once the actor has its place in the cluster."""
        return os.getpid()

    def open(
        self, spec: StudySpec, root: Path, dataset: Dataset, seed: int, orders: Sequence[Order]
    ) -> Report:
        """Loads the base model and the study's images, then follows orders.

        Args:
            spec: of the study.
            root: of its workspace, which all machines share.
            dataset: of the study; the images themselves are read here.
            seed: of the study.
            orders: as for ``do``.

        Raises:
            StudyError: what a user can mend.
        """
        from studies.engines.inline import open_worker
        from studies.errors import in_sentences, quiet

        quiet()
        with in_sentences():
            self._worker = open_worker(spec, Workspace(root), dataset, seed, self._stepped)
        return self.do(orders)

    def do(self, orders: Sequence[Order]) -> Report:
        """Follows orders one after the other.

        Raises:
            StudyError: what a user can mend.
        """
        from studies.errors import in_sentences
        from trainer.files import waiting_for_room

        assert self._worker is not None, "opened before"
        result: Any = None
        events: list[Event] = []
        with in_sentences(), waiting_for_room(lambda text: None):
            for name, arguments in orders:
                if name == ADVANCE:
                    events += self._worker.advance()
                else:
                    result = getattr(self._worker, name)(*arguments)
        steps, self._steps = tuple(self._steps), []
        return Report(result, tuple(events), steps, self._worker.capacity, dict(self._worker.seconds))

    def _stepped(self, images: int, loss: float | None) -> None:
        self._steps.append((images, loss))
