"""Opens a study: for a run, which begins it or goes on, or for reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from search.leases import Alone
from search.retry import Endurance
from studies.study import identity, judging, runners
from studies.study.lock import held
from studies.study.open import open_readonly
from studies.study.preflight import check_begins, examine, read_study_images
from studies.study.storage import chosen, connected, opened
from studies.study.study import Study
from studies.study.transfer import transfer
from studies.workspace import Workspace, copy_whole, default_root, write_json


def begin(path: Path, root: Path) -> Study:
    """Opens or creates the study of a study file; checks everything that can be checked before training.

    Raises:
        StudyError: with all problems of one kind at a time: the file's, then the base model's and the data's.
    """
    spec, dataset = examine(path, begins=False)
    workspace = Workspace(root)
    workspace.prepare()
    written = chosen(workspace, None, spec.storage.url)
    memory = opened(connected(workspace, written), spec.study.name, workspace)
    return _begun(path, Study(spec, workspace, memory, dataset, 0, Alone(memory)), written)


@contextmanager
def running(
    path: Path,
    root: Path | None,
    storage: str | None = None,
    runner: str | None = None,
    told: Callable[[str], None] = lambda text: None,
    cache: Path | None = None,
) -> Iterator[Study]:
    """``begin`` for a run, which has the workspace to itself while it lasts, or shares the study with others.

    Args:
        path: of the study file.
        root: of the workspace; None takes the default.
        storage: as on the command line; None takes the study file's.
        runner: this runner's name where several share the study; None takes the machine's.
        told: is told what is waited for.
        cache: folder of encoded images; None takes the workspace's own.

    Raises:
        StudyError: as ``begin``, or because another run works there; nothing is changed then.
    """
    spec, dataset = examine(path, begins=False)
    workspace = Workspace(root or default_root(spec.study.name), cache)
    written = chosen(workspace, storage, spec.storage.url)
    url = connected(workspace, written)
    workspace.prepare()
    name = runners.name(runner) if written else None
    with held(workspace, name):
        memory = opened(url, spec.study.name, workspace, Endurance(spec.storage.patience, told))
        if name is None:
            yield _begun(path, Study(spec, workspace, memory, dataset, 0, Alone(memory)), written)
            return
        with runners.joined(memory, name, workspace, spec.storage.ttl) as leases:
            passing = transfer(spec.storage.checkpoints, spec.study.name, workspace)
            yield _begun(path, Study(spec, workspace, memory, dataset, 0, leases, passing), written)


def _begun(path: Path, study: Study, written: str) -> Study:
    """The study with its seed, which one runner fixes; its data set compared with what it began with."""
    check_begins(study.memory, study.spec)
    seed = identity.fixed(study.memory, study.leases, study.spec, study.dataset)
    copy_whole(path, study.workspace.study_file)
    write_json(study.workspace.source, {"study_file": str(path.resolve()), "storage": written})
    spec = judging.judged(study.memory, study.spec, study.dataset)
    judging.remember(study.memory, study.spec, spec)
    return replace(study, spec=spec, asked=study.spec.judge, seed=seed)


def reopen(root: Path) -> Study:
    """Opens the study of a workspace for reading.

    Raises:
        StudyError: there is none, or its files have moved away.
    """
    seen = open_readonly(root)
    spec, memory = seen.spec, seen.memory
    dataset = read_study_images(spec)
    seed = identity.fixed_seed(memory, spec.study.seed)
    judged = judging.judged(memory, spec, dataset)
    return Study(judged, seen.workspace, memory, dataset, seed, Alone(memory), asked=spec.judge)
