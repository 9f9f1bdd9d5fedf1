"""What is measured once before a study searches: how many trials fit into a pack, and a learning rate."""

from __future__ import annotations

from dataclasses import replace

from studies.engines.engine import Equipped
from studies.errors import StudyError
from studies.report import earlier_studies
from studies.runner.progress import Listener
from studies.study import earlier
from studies.study.probe import FIELD, REMEMBERED, as_remembered, remembered
from studies.study.study import Study
from trainer.training.pack_size import choose

_PACK_SIZE = "pack_size"


def pack_size(study: Study, engine: Equipped, listener: Listener) -> int:
    """The study file's, or the one that this runner measured when it began: a resumed study keeps it."""
    asked = study.spec.pack.size
    if asked != "auto":
        return asked
    key = f"{_PACK_SIZE}/{study.leases.name}" if study.memory.is_shared else _PACK_SIZE
    recorded: int | None = study.memory.recall(key)
    if recorded is None:
        listener.phase("measuring how many trials to train at a time")
        readings = engine.measure_pack()
        recorded = choose(readings)
        study.memory.remember(key, recorded)
        rates = ", ".join(f"{r.size}: {r.images_per_second:.3g}" for r in readings)
        listener.phase(f"a pack of {recorded} (images/s by size: {rates})")
    return recorded


def probed(study: Study, engine: Equipped, listener: Listener) -> Study:
    """The study around the learning rate that its probe finds when it begins, or has found."""
    if not study.spec.probe.enabled:
        return study

    def probe() -> None:
        if study.memory.records():
            raise StudyError(
                "probe.enabled was set after this study began, and would change the range that its trials came "
                "from; unset it, or start a new study under another name."
            )
        listener.phase("probing the learning rate")
        study.memory.remember(REMEMBERED, engine.probe().model_dump(mode="json"))

    study.leases.once("probe", lambda: study.memory.recall(REMEMBERED) is not None, probe)
    result = remembered(study.memory)
    assert result is not None
    spec = as_remembered(study.spec, study.memory)
    if result.settled is not None:
        chosen = spec.search.space[FIELD]
        listener.phase(
            f"the probe's learning rate is {result.settled:.3g}: {FIELD} is searched from {chosen['low']:g} to "
            f"{chosen['high']:g}"
        )
    else:
        listener.phase(f"the probe found no plateau: {FIELD} is searched in the study file's range")
    return replace(study, spec=spec)


def learnt(study: Study, listener: Listener) -> None:
    """Reads earlier studies, where the study file asks for it, once when the study begins.

    Raises:
        StudyError: a folder that the study file names holds no study.
    """
    earlier.fixed(study.memory, study.leases, study.spec, study.workspace)
    if study.search_settings.lessons and not study.memory.records():
        listener.phase(earlier_studies.of_study(study))
