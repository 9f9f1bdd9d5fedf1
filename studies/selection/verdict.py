"""A study's verdict: its trials' checkpoints become candidates, its engine judges the finalists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.objective import Weights
from search.trial import Value
from studies.engines.engine import Engine
from studies.errors import StudyError
from studies.selection import best_file, document
from studies.selection.document import Selection
from studies.selection.rule import Rule
from studies.selection.selection import Selector
from studies.selection.study_judge import StudyJudge
from studies.study.study import UNITS, VERDICT, Study
from studies.study.trial import Checkpoint, Trial, read_trials


def conclude(study: Study, engine: Engine) -> Selection:
    """Chooses among all checkpoints, confirms with fresh seeds, tests once, and writes best.safetensors.

    A choice that already stands on the same trials, by the same rule, is not made again; of several runners one
    makes it. A checkpoint meets the test images once: where it wins again, what was measured then counts.

    Raises:
        NothingToSelect: no checkpoint is usable.
        RetrainingError: the winner cannot be trained on all folds.
        StudyError: its files are out of reach.
    """

    def standing() -> Selection | None:
        found = document.parse(study.memory.recall(VERDICT))
        rule = Rule.of(study.spec)
        return found if found and found.stands(rule, len(study.memory.records())) else None

    def reach() -> None:
        trials = read_trials(study.memory)
        selector = _selector(study, trials)
        selection = with_parameters(selector.choose(StudyJudge(study, engine, trials)), trials)
        study.memory.remember(VERDICT, selection.to_json())

    study.leases.once("verdict", lambda: standing() is not None, reach)
    found = document.parse(study.memory.recall(VERDICT))
    assert found is not None
    file = study.workspace.root / found.winner.file
    if study.transfer:
        _gather(study, file)
    best_file.write(file, study.workspace.best, study.memory.records()[found.winner.trial])
    return found


def provisional(study: Study, weights: Weights | None = None) -> Selection:
    """A choice from stored scores alone: nothing is judged again, nothing tested.

    With weights: where the leader by them was judged again for the study's verdict, the choice is made among the
    finalists, by what was measured then.

    Args:
        study: opened.
        weights: of the metrics in the objective; None takes the study file's.

    Raises:
        NothingToSelect: no checkpoint is usable yet.
        StudyError: a weighted metric was not measured in this study.
    """
    trials = read_trials(study.memory)
    selector = _selector(study, trials, weights)
    if weights is None:
        return with_parameters(selector.provisional(), trials)
    _check_measured(selector.rule)
    standing = document.parse(study.memory.recall(VERDICT))
    return with_parameters(selector.weigh(standing.confirmation if standing else None), trials)


def with_parameters(selection: Selection, trials: Sequence[Trial]) -> Selection:
    """The selection with the searched parameters of the winner's trial."""
    params: dict[str, Value] = dict(trials[selection.winner.trial].values)
    return selection.model_copy(update={"winner": selection.winner.model_copy(update={"params": params})})


def _selector(study: Study, trials: Sequence[Trial], weights: Weights | None = None) -> Selector:
    rule = Rule.of(study.spec, study.memory.recall(UNITS))
    if weights is not None:
        rule = rule.model_copy(update={"weights": dict(weights)})
    checkpoints = [checkpoint for trial in trials for checkpoint in trial.checkpoints]
    return Selector(
        study.spec.study.name, study.seed, len(trials), rule, checkpoints, _baselines(study, trials)
    )


def _baselines(study: Study, trials: Sequence[Trial]) -> list[Checkpoint]:
    """The last epochs of the study file's own recipes."""
    ends = [trial.checkpoints[-1] for trial in trials[: len(study.spec.first)] if trial.checkpoints]
    return [one for one in ends if one.scores.unusable is None]


def _check_measured(rule: Rule) -> None:
    missing = [name for name, weight in rule.weights.items() if weight > 0 and name not in rule.units]
    if missing:
        raise StudyError(
            f"{', '.join(missing)} was not measured in this study; weigh only: {', '.join(sorted(rule.units))}."
        )


def _gather(study: Study, best: Path) -> None:
    """Brings what the report shows of other runners' trials: the best file, renders and artifacts."""
    assert study.transfer is not None
    study.transfer.fetch(best.parent, best.name)
    study.transfer.fetch(study.workspace.artifacts)
    for record in study.memory.records():
        study.transfer.fetch(study.workspace.trial(record.number), "*.png")
