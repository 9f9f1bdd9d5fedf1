"""One run of a study on one engine, from its preparation to its report."""

from __future__ import annotations

import time
from collections.abc import Callable

from studies.engines.choice import EngineChoice, opened
from studies.report.provenance import share
from studies.runner.preparation import learnt, pack_size, probed
from studies.runner.progress import Listener
from studies.runner.runner import Runner
from studies.selection.document import Selection
from studies.study.run_times import RunTimes
from studies.study.study import Study


def run_study(
    study: Study,
    choice: EngineChoice,
    listener: Listener,
    began: float,
    report: Callable[[Study, Selection], None],
) -> Selection:
    """Searches, chooses and reports.

    Args:
        study: opened.
        choice: where trials are trained.
        listener: is told what happens.
        began: when the run did, on the monotonic clock.
        report: writes what was found.
    """
    if told := share(study.asked, study.spec.judge):
        listener.phase(told)
    with opened(choice, study, listener.stepped, listener.phase) as engine:
        engine.limit_pack(pack_size(study, engine, listener))
        study = probed(study, engine, listener)
        learnt(study, listener)
        selection = Runner(study, engine, listener).run()
        listener.phase("writing the report")
        RunTimes(**engine.seconds, wall=time.monotonic() - began).remember(study.memory)
        report(study, selection)
    return selection
