"""The study's memory: an Optuna study; with its board, the only user of the study's storage."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, assert_never

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from search.dashboard_notes import Board
from search.importance import importances
from search.lessons import Lesson
from search.pruned_as_finished import FromAll
from search.record import CARD, plain, to_record
from search.retry import Endurance
from search.space import SuggestingTrial
from search.storage import StorageError, make_folder, open_storage, redacted, translated
from search.storage_url import is_server
from search.trial import End, Failed, Finished, Infeasible, Pruned, State, TrialRecord, Value

if TYPE_CHECKING:
    from search.curve_model import Curve, CurveModel

CONSTRAINT = "infeasible"
METRIC = "objective"


class Snapshot(NamedTuple):
    """A trial as it was when it was read."""

    record: TrialRecord
    attributes: Mapping[str, Any]
    """JSON values by key."""
    steps: frozenset[int]
    """Image counts at which an intermediate value is stored."""


class Memory:
    """One study in a database and its artifact folder; every write is stored before the call returns.

    Cards and artifacts of a trial must be written before `tell`: ended trials cannot be edited. Not-finite
    numbers are stored as None, because JSON has none. Every method raises `StorageError` when the database
    fails or the trial has ended already (say, by a person in the dashboard), and `KeyError` for an unknown
    trial.

    Attributes:
        board: what optuna-dashboard shows of the study.
    """

    def __init__(self, study: Study, url: str, artifact_folder: Path) -> None:
        self._study = study
        self._url = url
        self._trials: dict[int, Trial] = {}
        self._ids: dict[int, int] = {}
        self._ended: dict[int, TrialRecord] = {}
        self.board = Board(study, url, artifact_folder, self._trial)

    @classmethod
    def open(
        cls,
        storage_url: str,
        study_name: str,
        artifact_folder: str | Path,
        *,
        create: bool = True,
        endurance: Endurance | None = None,
    ) -> Memory:
        """Loads the study of that name, or creates it.

        Args:
            storage_url: in SQLAlchemy's form, such as `sqlite:///study.db`.
            study_name: the study's name in the database.
            artifact_folder: where attached files are copied to.
            create: whether a missing study (and SQLite file) is made.
            endurance: how long a server that goes away is waited for; None does not wait.

        Raises:
            StorageError: no connection, no such study, or a study that another program made for minimising.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = open_storage(storage_url, create, endurance)
        with translated(storage_url):
            try:
                study = _study(storage, study_name, create)
            except KeyError:
                raise StorageError(f"There is no study {study_name!r} in {redacted(storage_url)}.") from None
            if study.directions != [StudyDirection.MAXIMIZE]:
                raise StorageError(
                    f"The study {study_name!r} does not maximise one objective: another program made it."
                )
            make_folder(Path(artifact_folder))
        return cls(study, storage_url, Path(artifact_folder))

    @property
    def name(self) -> str:
        """The study's name."""
        return self._study.study_name

    @property
    def is_shared(self) -> bool:
        """Whether runners on several machines can work on the study at the same time."""
        return is_server(self._url)

    def remember(self, key: str, json_value: Any) -> None:
        """Stores a JSON value in the study's user attributes."""
        with translated(self._url):
            self._study.set_user_attr(key, plain(json_value))

    def recall(self, key: str) -> Any:
        """The JSON value that was remembered under a key; None if none was."""
        with translated(self._url):
            return self._study._storage.get_study_user_attrs(self._study._study_id).get(key)

    def recall_all(self, prefix: str) -> dict[str, Any]:
        """All JSON values that were remembered under keys that start so; by the rest of their keys."""
        with translated(self._url):
            found = self._study._storage.get_study_user_attrs(self._study._study_id)
        return {key.removeprefix(prefix): value for key, value in found.items() if key.startswith(prefix)}

    def annotate(self, number: int, key: str, json_value: Any) -> None:
        """Stores a JSON value in a running trial's user attributes."""
        with translated(self._url):
            self._study._storage.set_trial_user_attr(self._id(number), key, plain(json_value))

    def annotation(self, number: int, key: str) -> Any:
        """The JSON value in a trial's user attributes; None if there is none."""
        with translated(self._url):
            return self._frozen(number).user_attrs.get(key)

    def enqueue(self, values: Mapping[str, Value]) -> None:
        """Appends a recipe, perhaps partial, to the trials that `begin` hands out first."""
        with translated(self._url):
            self._study.enqueue_trial(dict(values))

    def begin(self) -> int:
        """Begins the first enqueued trial, or a new one, and returns its number."""
        with translated(self._url):
            trial = self._study.ask()
        self._trials[trial.number] = trial
        return trial.number

    def unended(self, key: str) -> dict[int, tuple[State, Any]]:
        """State and JSON value under a key of every trial that runs or waits, ordered by number."""
        states = (TrialState.RUNNING, TrialState.WAITING)
        with translated(self._url):
            found = self._study.get_trials(deepcopy=False, states=states)
        return {t.number: (to_record(t).state, t.user_attrs.get(key)) for t in found}

    def snapshot(self, number: int) -> Snapshot:
        """One trial as it is now, read once."""
        with translated(self._url):
            frozen = self._frozen(number)
        return Snapshot(to_record(frozen), frozen.user_attrs, frozenset(frozen.intermediate_values))

    def release(self, number: int) -> None:
        """Lets a running trial wait again, for whoever takes it first."""
        with translated(self._url):
            self._study._storage.set_trial_state_values(self._id(number), TrialState.WAITING)
        self._trials.pop(number, None)

    def seize(self, number: int) -> bool:
        """Lets a waiting trial run, and returns whether it was this call that did: of many callers, one."""
        with translated(self._url):
            return self._study._storage.set_trial_state_values(self._id(number), TrialState.RUNNING)

    def suggest(
        self,
        number: int,
        ask: Callable[[SuggestingTrial], dict[str, Value]],
        sampler: BaseSampler,
        forecast: bool = False,
        lessons: Sequence[Lesson] = (),
    ) -> dict[str, Value]:
        """The values of a running trial: what it has already, the rest from the sampler.

        Args:
            number: of the trial.
            ask: asks a trial for every parameter, such as `Space.suggest`.
            sampler: draws what is missing; it sees all trials, also pruned ones and under Hyperband.
            forecast: whether ended trials count with their forecast optimum for it.
            lessons: of earlier studies, shown beside the study's own trials.
        """
        self._study.sampler = FromAll(sampler, forecast, lessons)
        with translated(self._url):
            return ask(self._trial(number))

    def save_card(self, number: int, card: Mapping[str, Any], seen: Snapshot | None = None) -> bool:
        """Stores a checkpoint's score card, unless the trial has one for that epoch.

        Args:
            number: of the running trial.
            card: at least `epoch`, `images_seen` and `objective`.
            seen: the trial as it was just now; None reads it.

        Returns:
            Whether it was stored.
        """
        key = f"{CARD}{card['epoch']:03d}"
        if (seen or self.snapshot(number)).attributes.get(key) is not None:
            return False
        self.annotate(number, key, dict(card))
        return True

    def report(self, number: int, step: int, value: float) -> bool:
        """Stores an intermediate value (step: images seen), unless there is one; returns whether it did."""
        with translated(self._url):
            if step in self._frozen(number).intermediate_values:
                return False
            self._trial(number).report(value, step)
            return True

    def should_prune(self, number: int, pruner: BasePruner) -> bool:
        """Whether the pruner stops the trial, judged at its last reported step.

        Ask once after each report: successive halving keeps its rungs in the trial and judges a rung only
        once.
        """
        with translated(self._url):
            trial = self._trial(number)
            self._study.pruner = pruner
            try:
                return trial.should_prune()
            finally:
                self._study.pruner = (
                    NopPruner()
                )  # with Hyperband here, TPE would see one bracket's trials only

    def tell(self, number: int, end: End, value: float | None) -> None:
        """Ends a trial.

        A finished trial is told with `value`. A pruned one keeps its last intermediate value (Optuna allows
        no other); `value` stands in its user attribute `objective`. An infeasible one is complete with a
        violated constraint, told with the worst objective seen so far, at most 0, which no sampler uses. The
        user attributes `feasible` and `reason` mirror it, since the dashboard does not show constraints.

        Args:
            number: of the running trial.
            end: how it ended.
            value: its objective; needed for `Finished`.

        Raises:
            ValueError: a finished trial without a finite objective.
        """
        with translated(self._url):
            match end:
                case Finished():
                    if value is None or not math.isfinite(value):
                        raise ValueError(f"A finished trial needs a finite objective, but got {value}.")
                    self._mark(number, feasible=True, objective=value)
                    self._study.tell(number, value)
                case Pruned():
                    self._mark(number, feasible=True, objective=value)
                    self._study.tell(number, state=TrialState.PRUNED)
                case Infeasible(reason=reason):
                    self._mark(number, feasible=False, reason=reason.to_json())
                    self._study.tell(number, self._worst())
                case Failed(reason=reason):
                    self.annotate(number, "reason", reason.to_json())
                    self._study.tell(number, state=TrialState.FAIL)
                case _:
                    assert_never(end)
        self._trials.pop(number, None)

    def record(self, number: int) -> TrialRecord:
        """All that is stored about one trial."""
        with translated(self._url):
            return to_record(self._frozen(number))

    def records(self) -> list[TrialRecord]:
        """All that is stored about every trial, ordered by number."""
        with translated(self._url):
            return [self._recorded(frozen) for frozen in self._study.get_trials(deepcopy=False)]

    def curve(self, number: int) -> Curve:
        """A trial's checkpoints, as the curve model reads them."""
        from search.forecast import curve_of

        with translated(self._url):
            return curve_of(self._frozen(number))

    def curve_model(self, horizon_images: int) -> CurveModel | None:
        """The learning curves of all trials as one model; None where there are too few checkpoints."""
        from search.forecast import fitted

        with translated(self._url):
            return fitted(self._study.get_trials(deepcopy=False), horizon_images)

    def importances(self) -> dict[str, float]:
        """How much each parameter matters for reaching the best trials, most important first; sums to 1.

        Finished and pruned trials count alike with the best of their smoothed curve: Optuna's own importance
        reads only trials that were trained to the end, and early stopping leaves few of those. PED-ANOVA
        (Watanabe et al. 2023) over the best tenth, at least two trials.

        Returns:
            A share for each parameter that took at least two values; empty with fewer than four trials.
        """
        with translated(self._url):
            return importances(self._study.get_trials(deepcopy=False))

    def _mark(self, number: int, *, feasible: bool, **attributes: object) -> None:
        trial = self._trial(number)
        trial.set_constraint(CONSTRAINT, 0.0 if feasible else 1.0)
        for key, value in {"feasible": feasible, **attributes}.items():
            self.annotate(number, key, value)

    def _worst(self) -> float:
        ended = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return min([0.0, *(t.value for t in ended if t.value is not None)])

    def _trial(self, number: int) -> Trial:
        if number not in self._trials:
            trial_id = self._id(number)
            self._study.get_trials(deepcopy=False)  # Optuna's cache writes only to trials that it has read
            self._trials[number] = Trial(self._study, trial_id)
        return self._trials[number]

    def _recorded(self, frozen: FrozenTrial) -> TrialRecord:
        """A record, made once for a trial that has ended, since it cannot change any more."""
        if frozen.number in self._ended:
            return self._ended[frozen.number]
        record = to_record(frozen)
        if frozen.state.is_finished():
            self._ended[frozen.number] = record
        return record

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study._storage.get_trial(self._id(number))

    def _id(self, number: int) -> int:
        if number not in self._ids:
            try:
                found = self._study._storage.get_trial_id_from_study_id_trial_number(
                    self._study._study_id, number
                )
            except KeyError:
                raise KeyError(f"There is no trial {number} in the study {self.name!r}.") from None
            self._ids[number] = found
        return self._ids[number]


def _study(storage: BaseStorage, name: str, create: bool) -> Study:
    """The study with no sampler and no pruner of its own: both are passed at each use."""
    sampler, pruner = RandomSampler(), NopPruner()
    if not create:
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler, pruner=pruner)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=sampler,
        pruner=pruner,
        direction="maximize",
        load_if_exists=True,
    )
    if study.metric_names is None and len(study.directions) == 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names([METRIC])
    return study
