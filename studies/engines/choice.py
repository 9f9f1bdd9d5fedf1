"""The engines by name, and what a command line says of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from studies.errors import StudyError

if TYPE_CHECKING:
    from studies.engines.engine import Equipped
    from studies.study.study import Study

Stepped = Callable[[int, float | None], None]
Told = Callable[[str], None]

_ADDRESS = re.compile(r"auto|[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """Which engine a run is to have."""

    name: str = "inline"
    """One of ``ENGINES``."""
    address: str | None = None
    """Of a Ray cluster that is there: HOST:PORT, or "auto" for one on this machine; None starts one."""
    workers: int | None = None
    """How many Ray workers; None takes one for every GPU of the cluster, or one where it has none."""

    def check(self) -> None:
        """Raises ``StudyError`` if this cannot be had here; nothing is started."""
        if self.name == "inline":
            if self.address is not None or self.workers is not None:
                raise StudyError("--ray-address and --workers need --engine ray; add it, or leave them out.")
            return
        if find_spec("ray") is None:
            raise StudyError("--engine ray needs the package ray: pip install 'lorasearch[ray]'.")
        if self.address is not None and not _ADDRESS.fullmatch(self.address):
            raise StudyError(
                f"--ray-address must be HOST:PORT, or auto for a cluster on this machine, but got {self.address!r}."
            )


INLINE = EngineChoice()
"""This process, on one device."""


@contextmanager
def _inline(_choice: EngineChoice, study: Study, stepped: Stepped, told: Told) -> Iterator[Equipped]:
    from studies.engines.inline import open_worker

    yield open_worker(study.spec, study.workspace, study.dataset, study.seed, stepped)


@contextmanager
def _ray(choice: EngineChoice, study: Study, stepped: Stepped, told: Told) -> Iterator[Equipped]:
    from studies.engines.ray_cluster import cluster

    told("starting Ray and its workers")
    with cluster(choice.address, choice.workers):
        from studies.engines.ray import RayEngine

        yield RayEngine(study, choice.workers, stepped, told)


ENGINES: dict[str, Callable[[EngineChoice, Study, Stepped, Told], AbstractContextManager[Equipped]]] = {
    "inline": _inline,
    "ray": _ray,
}
"""Each makes an engine for a study while its block lasts."""


def opened(
    choice: EngineChoice, study: Study, stepped: Stepped, told: Told
) -> AbstractContextManager[Equipped]:
    """The chosen engine, ready for the study's first trial.

    Args:
        choice: which.
        study: opened.
        stepped: is told of every step: images and their mean squared error.
        told: is told what is begun.
    """
    return ENGINES[choice.name](choice, study, stepped, told)
