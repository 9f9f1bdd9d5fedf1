"""Opens a worker in this process: base model, pack and judges on one device."""

from __future__ import annotations

from collections.abc import Callable

from studies.engines.epoch_scores import EpochScores
from studies.engines.judge_builder import JudgeBuilder
from studies.engines.judges import StudyJudges
from studies.engines.trial_runs import TrialRuns
from studies.engines.work_times import WorkTimes
from studies.engines.worker import Worker
from studies.spec.planner import Planner
from studies.spec.study_file import StudySpec
from studies.study.folds import Folds, folds_of
from studies.workspace import Workspace
from trainer.data.dataset import Dataset
from trainer.training import session


def open_worker(
    spec: StudySpec,
    workspace: Workspace,
    dataset: Dataset,
    seed: int,
    on_step: Callable[[int, float | None], None],
) -> Worker:
    """Loads everything that a study's trials share; the base model's pictures are in the workspace then.

    Args:
        spec: of the study.
        workspace: where files go.
        dataset: of the study.
        seed: of the study.
        on_step: is told images and mean squared error of every step.
    """
    planner = Planner(spec, dataset, seed)
    template = planner.plan({})
    folds = Folds(folds_of(dataset, template.data.fold))
    most = spec.pack.limit
    probes = spec.probe.repetitions if spec.probe.enabled else 0
    tested = 1 + len(spec.first)
    rooms = most, spec.confirm.finalists, tested, probes, len(folds.folds)
    pack = session.open(template, dataset, workspace.cache, max(rooms))
    pack.limit = most
    runs, times = TrialRuns(pack, planner, folds, workspace), WorkTimes()
    with times.timed("judging"):
        builder = JudgeBuilder(spec.judge, pack.data, pack.bank, template.seed, template.data.resolution)
        judges = StudyJudges(builder, folds.folds, spec.objective)
    scores = EpochScores(runs, judges, workspace, times)
    scores.save_base_renders()
    return Worker(planner, runs, judges, scores, times, on_step)
