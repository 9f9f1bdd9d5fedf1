"""Waiting for a database server that is gone for a while."""

from __future__ import annotations

import inspect
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError, SQLAlchemyError

_FIRST_SECONDS = 0.25
_LONGEST_SECONDS = 10.0


@dataclass(frozen=True)
class Endurance:
    """How long a lost server is waited for.

    Attributes:
        seconds: longest wait of one call, all its attempts together.
        told: is told once a call has to wait, and why.
        sleep: waits for so many seconds.
    """

    seconds: float
    told: Callable[[str], None] = lambda text: None
    sleep: Callable[[float], None] = time.sleep

    def pauses(self) -> Iterator[float]:
        """Seconds between two attempts, each twice as long as the one before, up to ten."""
        left, pause = self.seconds, _FIRST_SECONDS
        while left > 0:
            yield min(pause, left)
            left -= pause
            pause = min(2 * pause, _LONGEST_SECONDS)


class _Waiting:
    """Calls the storage behind it again and again while its server is gone."""

    def __init__(
        self, behind: BaseStorage, endurance: Endurance, passing: Callable[[BaseException], bool], why: str
    ) -> None:
        self.behind, self._endurance, self._passing, self._why = behind, endurance, passing, why
        self._given_up = False

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        method, again = getattr(self.behind, name), False
        pauses = self._endurance.pauses()
        while True:
            try:
                answer = method(*args, **kwargs)
                self._given_up = False
                return answer
            except UpdateFinishedTrialError:
                if again and name == "set_trial_state_values":
                    return True  # the attempt whose answer was lost had ended the trial
                raise
            except Exception as error:
                passing = self._passing(error)
                pause = next(pauses, None) if passing and not self._given_up else None
                if pause is None:
                    self._given_up = passing
                    raise
            if not again:
                self._endurance.told(self._why)
            again = True
            self._endurance.sleep(pause)
            self._forget()

    def _forget(self) -> None:
        """Drops this thread's half-done transaction, of which the lost connection was part."""
        with suppress(SQLAlchemyError):
            getattr(self.behind, "_backend", self.behind).remove_session()


def _method(name: str) -> Callable[..., Any]:
    def call(self: _Waiting, *args: Any, **kwargs: Any) -> Any:
        return self._call(name, *args, **kwargs)

    return call


_PUBLIC = [
    name for name, _ in inspect.getmembers(BaseStorage, inspect.isfunction) if not name.startswith("_")
]
_Methods = type("_Methods", (_Waiting, BaseStorage), {name: _method(name) for name in _PUBLIC})


def enduring(behind: BaseStorage, endurance: Endurance) -> BaseStorage:
    """A storage whose every method waits for a lost server; once that was in vain, none waits until it is back.

    A write whose answer was lost is written again: attributes and values become the same, a trial that was made
    twice has no lease and is taken up by whoever finds it.
    """
    why = "the study database does not answer; waiting for it"
    made: BaseStorage = _Methods(behind, endurance, is_passing, why)
    return made


def waiting_for_room(behind: BaseStorage, told: Callable[[str], None]) -> BaseStorage:
    """A storage in a file whose every method waits while the disk is full, for as long as that takes."""
    why = "the disk of the study database is full; free some space, and the run goes on by itself"
    made: BaseStorage = _Methods(behind, Endurance(math.inf, told), is_full, why)
    return made


def is_full(error: BaseException) -> bool:
    """Whether SQLite says that its disk is full."""
    return any("database or disk is full" in str(cause) for cause in _causes(error))


def is_passing(error: BaseException) -> bool:
    """Whether an error says that the server is out of reach, which may pass."""
    for cause in _causes(error):
        if isinstance(cause, (OperationalError, InterfaceError, PendingRollbackError)):
            return True
        if isinstance(cause, DBAPIError) and cause.connection_invalidated:
            return True
        if is_rpc_error(cause):
            return getattr(cause, "code", lambda: None)() in _passing_codes()
    return False


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, one after the other."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def is_rpc_error(error: BaseException) -> bool:
    """Whether an error comes from gRPC, which is imported only where it is used."""
    grpc = sys.modules.get("grpc")
    return grpc is not None and isinstance(error, grpc.RpcError)


def _passing_codes() -> tuple[Any, ...]:
    """UNKNOWN is what the proxy says when its own database is gone."""
    code = sys.modules["grpc"].StatusCode
    return code.UNAVAILABLE, code.UNKNOWN, code.DEADLINE_EXCEEDED, code.ABORTED
