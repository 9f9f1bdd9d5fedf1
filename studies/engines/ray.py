"""Trains and judges on the devices of a Ray cluster, one actor on each; Ray Core only."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions

from evaluation.scorecard import ScoreCard
from search.trial import Proposal, Reason
from studies.engines.engine import Event, Requeued, TrialDiverged
from studies.engines.ray_actor import ADVANCE, Order, RayActor, Report
from studies.engines.ray_cluster import silence_at
from studies.errors import StudyError
from studies.study.exam import Exam

if TYPE_CHECKING:
    from studies.study.probe import ProbeResult
    from studies.study.study import Study
    from studies.study.trial import Checkpoint
    from trainer.training.pack_size import Reading

RESTARTS = 3
"""How often a worker that died is started anew."""
PLACEMENT_SECONDS = 60.0
"""How long the first worker may wait for its place in the cluster."""
PULSE_SECONDS = 5.0
"""How often the cluster's head is looked at while nothing else is heard."""
HEAD_SECONDS = 30.0
"""How long the head may be silent; after 60 Ray ends this process without a word to us."""
DEATHS = (
    exceptions.RayActorError,
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.RuntimeEnvSetupError,
)
"""What Ray says of an actor that is gone, or whose answer is."""


@dataclass(eq=False)
class _WorkerSeat:
    """One worker's place: the actor that fills it, and what that one is known to have."""

    number: int
    actor: Any
    placed: Any
    """Is answered once the actor has found its place."""
    answer: Any
    """What is awaited from it; None while it waits for orders."""
    live: bool = False
    """Whether it has loaded the base model."""
    deaths: int = 0
    capacity: int = 0
    trials: set[int] = field(default_factory=set)
    orders: list[Order] = field(default_factory=list)
    """What it is told together with its next call."""
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """How many trials more it can take."""
        return self.capacity - len(self.trials) if self.live else 0


class RayEngine:
    """Hands trials out to actors and gathers what they report; the study's memory stays in this process.

    Args:
        study: opened; its workspace is a folder that all machines of the cluster share.
        workers: how many actors; None takes one for every GPU of the cluster, or one where it has none.
        on_step: is told images and training loss of every step, when they are reported.
        told: is told of workers that die and come back.

    Raises:
        StudyError: the cluster has not so many devices, or no place for any worker.
    """

    def __init__(
        self,
        study: Study,
        workers: int | None,
        on_step: Callable[[int, float | None], None],
        told: Callable[[str], None],
    ) -> None:
        root = study.workspace.root.resolve()
        self._opening = study.spec, root, study.dataset, study.seed
        self._head = ray.get_runtime_context().gcs_address
        self._on_step, self._told = on_step, told
        self._waiting: list[Event] = []
        self._limit: list[Order] = []
        self._spent: list[Mapping[str, float]] = []
        self._last_death = ""
        count, self._options = _places(workers, study.spec.shared_plan.compute.device != "cpu")
        self._seats = [self._started(number) for number in range(count)]
        self._assemble()

    def _assemble(self) -> None:
        """Waits for all workers that have a place; the others join when they find one."""
        placed = [seat.placed for seat in self._seats]
        ray.wait(placed, num_returns=len(placed), timeout=PLACEMENT_SECONDS)
        there = [seat for seat in self._seats if _is_there(seat.placed)]
        for seat in there:
            self._take_in(seat)
        if len(there) < len(placed):
            self._told(
                f"{len(there)} of {len(placed)} Ray workers have a place; the others join when they find one"
            )
        self._await_one()

    def _started(self, number: int, deaths: int = 0) -> _WorkerSeat:
        """A new actor, which begins to load."""
        actor = ray.remote(RayActor).options(**self._options).remote()
        placed = actor.placed.remote()
        return _WorkerSeat(
            number, actor, placed, actor.open.remote(*self._opening, self._limit), deaths=deaths
        )

    def measure_pack(self) -> tuple[Reading, ...]:
        """How fast packs of growing size train the study's heaviest trial, on the first worker."""
        readings: tuple[Reading, ...] = self._ask("measure_pack")
        return readings

    def probe(self) -> ProbeResult:
        """The learning-rate probe of the study's first recipe, on the first worker."""
        result: ProbeResult = self._ask("probe")
        return result

    def limit_pack(self, size: int) -> None:
        """Trains at most so many trials at a time on each worker from now on; nothing may be in training."""
        self._limit = [("limit_pack", (size,))]
        for seat in [seat for seat in self._seats if seat.live]:
            seat.answer = seat.actor.do.remote(self._limit)
            self._take_in(seat)

    @property
    def has_room(self) -> bool:
        """Whether a worker that lives can take another trial."""
        return any(seat.room > 0 for seat in self._seats)

    @property
    def idle(self) -> bool:
        """Whether no trial is in training and one could be; false while the only workers are still starting."""
        return self.has_room and not self._waiting and not any(seat.trials for seat in self._seats)

    @property
    def seconds(self) -> Mapping[str, float]:
        """Working time of all workers, by kind of work."""
        totals = {"training": 0.0, "judging": 0.0}
        for seconds in [*self._spent, *(seat.seconds for seat in self._seats)]:
            for kind, value in seconds.items():
                totals[kind] += value
        return totals

    def admit(self, proposal: Proposal, stored: Sequence[Checkpoint]) -> None:
        """Gives a trial to the worker with the most room, the first of them where several have it."""
        seat = max(self._seats, key=lambda seat: (seat.room, -seat.number))
        seat.trials.add(proposal.number)
        seat.orders.append(("admit", (proposal, list(stored))))

    def stop(self, trial: int) -> None:
        """Frees the slot of a trial that need not go on."""
        seat = next(seat for seat in self._seats if trial in seat.trials)
        seat.trials.remove(trial)
        seat.orders.append(("stop", (trial,)))

    def advance(self) -> list[Event]:
        """Lets every worker with trials train until one reports; nothing has happened where one has only started.

        Raises:
            StudyError: no worker is left, or the cluster's head is gone.
        """
        for seat in self._seats:
            if seat.answer is None and seat.trials:
                orders, seat.orders = seat.orders, []
                seat.answer = seat.actor.do.remote([*orders, (ADVANCE, ())])
        self._take_in(self._next())
        events, self._waiting = self._waiting, []
        return events

    def retrain_on_all(self, proposal: Proposal, epoch: int) -> Reason | None:
        """Makes the LoRA file of a trial at an epoch if it is not there, on the first worker."""
        why: Reason | None = self._ask("retrain_on_all", proposal, epoch)
        return why

    def measure_units(self) -> dict[str, float]:
        """How much each metric of the base model moves when it is measured again, on the first worker."""
        found: dict[str, float] = self._ask("measure_units")
        return found

    def examine(self, checkpoints: Sequence[tuple[int, int]], exam: Exam) -> list[ScoreCard]:
        """Scores checkpoints from their files, on the first worker: all in the same pass, as ever."""
        cards: list[ScoreCard] = self._ask("examine", list(checkpoints), exam)
        return cards

    def _ask(self, name: str, *arguments: Any) -> Any:
        """One worker's answer, while nothing is in training; another is asked if it dies."""
        while True:
            self._await_one()
            seat = next(seat for seat in self._seats if seat.live)
            orders, seat.orders = seat.orders, []
            seat.answer = seat.actor.do.remote([*orders, (name, arguments)])
            report = self._take_in(seat)
            if report is not None:
                return report.result

    def _await_one(self) -> None:
        while not any(seat.live for seat in self._seats):
            self._take_in(self._next())

    def _next(self) -> _WorkerSeat:
        """The next worker that has answered."""
        if not any(seat.live for seat in self._seats):
            self._expect_a_place()
        awaited = {seat.answer: seat for seat in self._seats if seat.answer is not None}
        return awaited[self._answered(list(awaited))]

    def _answered(self, answers: Sequence[Any]) -> Any:
        """The first of them that has come; the head is looked at while none has."""
        heard = time.monotonic()
        while True:
            come, _ = ray.wait(list(answers), num_returns=1, timeout=PULSE_SECONDS)
            if come:
                return come[0]
            silence = silence_at(self._head)
            if silence is None:
                heard = time.monotonic()
            elif time.monotonic() - heard > HEAD_SECONDS:
                raise StudyError(
                    f"The head of the Ray cluster at {self._head} no longer answers ({silence}). "
                    "What was scored is kept; start the cluster again, and run the same command again to go on."
                )

    def _expect_a_place(self) -> None:
        placed = [seat.placed for seat in self._seats]
        if placed and ray.wait(placed, num_returns=1, timeout=PLACEMENT_SECONDS)[0]:
            return
        raise StudyError(
            f"No Ray worker is left: each has died {RESTARTS + 1} times, or the cluster has no room for it"
            f"{self._last_death}. What was scored is kept; see to the cluster, and run the same command again to go on."
        )

    def _take_in(self, seat: _WorkerSeat) -> Report | None:
        """Waits for a worker's answer and notes what it says; None if the worker has died."""
        answer, seat.answer = seat.answer, None
        try:
            report: Report = ray.get(self._answered([answer]))
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, StudyError):
                raise StudyError(error.cause.problems) from None
            raise
        except DEATHS as error:
            self._restart(seat, error)
            return None
        seat.live, seat.capacity, seat.seconds = True, report.capacity, report.seconds
        for step in report.steps:
            self._on_step(*step)
        for event in report.events:
            if isinstance(event, TrialDiverged | Requeued):
                seat.trials.remove(event.trial)
            self._waiting.append(event)
        return report

    def _restart(self, seat: _WorkerSeat, error: Exception) -> None:
        """Takes a dead worker's trials back, and fills its place unless it has died too often."""
        why = next(iter(str(error).splitlines()), "").strip().rstrip(".:")
        self._last_death = f" ({why})"
        died = Reason("ray_worker_died", {"worker": seat.number})
        self._waiting += [Requeued(trial, died) for trial in sorted(seat.trials)]
        self._spent.append(seat.seconds)
        ray.kill(seat.actor)
        at = self._seats.index(seat)
        if seat.deaths < RESTARTS:
            self._told(f"Ray worker {seat.number} died and is started anew ({why})")
            self._seats[at] = self._started(seat.number, seat.deaths + 1)
        else:
            self._told(
                f"Ray worker {seat.number} died {RESTARTS + 1} times: the study goes on without it ({why})"
            )
            del self._seats[at]


def _places(workers: int | None, may_use_gpus: bool) -> tuple[int, dict[str, Any]]:
    """How many actors, and what each asks of the cluster."""
    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0)) if may_use_gpus else 0
    most, what = (gpus, "GPUs") if gpus else (int(there.get("CPU", 0)), "processors")
    count = workers or gpus or 1
    if count > most:
        raise StudyError(
            f"--workers is {count}, but this Ray cluster has {most} {what}; ask for {most} or fewer."
        )
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    share = {"num_cpus": 0, "num_gpus": 1} if gpus else {"num_cpus": 1}
    return count, {**share, "scheduling_strategy": "SPREAD", "runtime_env": {"env_vars": threads}}


def _is_there(placed: Any) -> bool:
    return bool(ray.wait([placed], timeout=0)[0])
