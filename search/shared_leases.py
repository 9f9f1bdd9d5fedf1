"""One of several runners of a study: a lease on every trial, a beat for every runner."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from search.leases import LEASE, MOST_TAKEOVERS
from search.storage_url import EndedError, StorageError

if TYPE_CHECKING:
    from search.memory import Memory, Snapshot

TTL_SECONDS = 120.0
"""How long a runner may be silent before others take over its trials."""
RUNNER, CLAIM = "runner/", "claim/"
"""Where a runner's beat lies on the study, under its name, and a claim under what is claimed."""


class NameTakenError(Exception):
    """A runner of the same name is at work elsewhere; the message is one sentence."""


class Stillness:
    """For how long each of some things has not changed, on the looker's own clock.

    A looker that slept, or could not reach the database, counts at most `longest_step` for the time in between:
    what it did not see may have changed all the while.
    """

    def __init__(self, clock: Callable[[], float], longest_step: float) -> None:
        self._clock, self._longest_step = clock, longest_step
        self._seen: dict[Any, tuple[Any, float, float]] = {}

    def age(self, thing: Any, state: Any) -> float:
        """Seconds since the state of a thing was first seen as it is."""
        now = self._clock()
        before = self._seen.get(thing)
        age = 0.0
        if before is not None and before[0] == state:
            age = before[1] + min(max(0.0, now - before[2]), self._longest_step)
        self._seen[thing] = (state, age, now)
        return age


class Shared:
    """One of several runners of a study.

    A trial's lease names its owner, that process's session, and a fencing number that grows with every hand-over.
    Each runner has one beat that counts up as long as its process lives. A trial is adrift when its owner left,
    or when the beat stood still for the owner's time to live on the looker's own monotonic clock: no two machines'
    clocks are ever compared.

    Args:
        memory: the study.
        name: of this runner, unlike all others'.
        place: where it runs; the same name at the same place is the same runner, started again under its lock.
        ttl: seconds of silence after which others take over.
        clock: seconds on a clock that never goes back.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        memory: Memory,
        name: str,
        place: str = "",
        ttl: float = TTL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._memory, self.name, self._place, self._ttl = memory, name, place, ttl
        self._clock, self._sleep = clock, sleep
        self._session = secrets.token_hex(8)
        self._beats = 0
        self._held: dict[int, dict[str, Any]] = {}
        self._still = Stillness(clock, ttl / 4)
        self._adrift: dict[int, Any] = {}
        self._guard = threading.Lock()

    @property
    def poll_seconds(self) -> float:
        """An eighth of the time to live, at most five."""
        return min(5.0, self._ttl / 8)

    def enter(self) -> None:
        """Announces this runner.

        Raises:
            NameTakenError: one of that name is at work in another place.
        """
        found = self._memory.recall(RUNNER + self.name)
        if found and not found["left"] and found["place"] != self._place:
            self._wait_until_silent(found)
        self.beat()

    def _wait_until_silent(self, found: Mapping[str, Any]) -> None:
        waited = 0.0
        while waited < found["ttl"] and not found["left"]:
            self._sleep(self.poll_seconds)
            waited += self.poll_seconds
            now = self._memory.recall(RUNNER + self.name)
            if now["beat"] != found["beat"] or now["session"] != found["session"]:
                raise NameTakenError(
                    f"A runner named {self.name!r} is at work in {now['place']}; give this one another name with "
                    "--runner."
                )
            found = now

    def leave(self) -> None:
        """Tells the others that they may take over what is left of this runner's trials at once."""
        with suppress(StorageError):
            self._announce(left=True)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beats and looks in the background while it lasts."""
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(self._ttl / 4):
                with suppress(StorageError):
                    self.beat()
                    self.look()

        thread = threading.Thread(target=run, name="heart", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=1)
            self.leave()

    def beat(self) -> None:
        """Shows that this runner lives."""
        self._beats += 1
        self._announce(left=False)

    def _announce(self, left: bool) -> None:
        facts = {"session": self._session, "beat": self._beats, "ttl": self._ttl, "place": self._place}
        self._memory.remember(RUNNER + self.name, {**facts, "left": left})

    def look(self) -> None:
        """Notes which trials nobody trains any more; to be called several times within the time to live."""
        runners = self._memory.recall_all(RUNNER)
        found = {}
        for number, (state, lease) in self._memory.unended(LEASE).items():
            if self._is_mine(lease) or (lease is None and state == "waiting"):
                continue
            if state == "waiting" or self._is_silent(("trial", number), lease, runners):
                found[number] = lease
        with self._guard:
            self._adrift = found

    def _is_silent(self, thing: Any, lease: Mapping[str, Any] | None, runners: Mapping[str, Any]) -> bool:
        """Whether the owner of a lease has left, or has not been heard of for its time to live."""
        owner = runners.get(lease["owner"]) if lease else None
        if lease is None or owner is None or owner["session"] != lease["session"]:
            return self._still.age(thing, (lease, None)) >= self._ttl
        return bool(owner["left"]) or self._still.age(thing, (lease, owner["beat"])) >= owner["ttl"]

    def _is_mine(self, lease: Mapping[str, Any] | None) -> bool:
        return lease is not None and lease["session"] == self._session

    def left_behind(self) -> list[int]:
        """Running trials that an earlier process of this runner began."""
        return [
            number
            for number, (state, lease) in self._memory.unended(LEASE).items()
            if state == "running" and lease and lease["owner"] == self.name and not self._is_mine(lease)
        ]

    def adrift(self) -> list[int]:
        """Trials that nobody trained any more at the last look."""
        with self._guard:
            return list(self._adrift)

    def others(self) -> int:
        """How many trials other runners train, or have left to be taken over."""
        return sum(
            not self._is_mine(lease) and (state == "running" or lease is not None)
            for state, lease in self._memory.unended(LEASE).values()
        )

    def take(self, number: int) -> bool:
        """Marks a trial that was just begun as ours; returns whether somebody had trained it before."""
        before = self._memory.annotation(number, LEASE)
        self._write(number, before, taken_over=before is not None)
        return before is not None

    def take_over(self, number: int) -> bool:
        """Makes a trial ours that nobody trains any more; returns whether that succeeded.

        It is let go and seized again: of several runners that try at the same moment, the storage lets one through;
        one that comes a little later sees the other's lease. Where both slip through, the later lease counts, which
        both see after a pause, or at their next report.
        """
        state, lease = self._memory.unended(LEASE).get(number, ("finished", None))
        with self._guard:
            judged = self._adrift.pop(number, lease)
        if self._is_mine(lease):
            return state == "running"
        if lease != judged:
            return False
        try:
            if state == "running":
                self._memory.release(number)
            if not self._memory.seize(number) or self._memory.annotation(number, LEASE) != lease:
                return False
            foreign = lease is None or lease["owner"] != self.name
            self._write(number, lease, taken_over=foreign)
            if foreign:
                self._sleep(min(1.0, self._ttl / 50))
        except EndedError:
            return False
        return self.holds(number)

    def _write(self, number: int, before: Mapping[str, Any] | None, taken_over: bool) -> None:
        old = before or {"fence": 0, "takeovers": 0, "cards": 0}
        cards = len(self._memory.record(number).cards) if before else 0
        count = int(old["takeovers"]) if cards == old["cards"] else 0
        lease = {
            "owner": self.name,
            "session": self._session,
            "fence": int(old["fence"]) + 1,
            "takeovers": count + taken_over,
            "cards": cards,
        }
        self._memory.annotate(number, LEASE, lease)
        self._held[number] = lease

    def holds(self, number: int, seen: Snapshot | None = None) -> bool:
        """Whether a trial is still ours, and runs."""
        seen = seen or self._memory.snapshot(number)
        lease = seen.attributes.get(LEASE)
        return seen.record.state == "running" and lease is not None and lease == self._held.get(number)

    def exhausted(self, number: int) -> bool:
        """Whether a trial of ours was taken over too often without getting on."""
        return int(self._held[number]["takeovers"]) > MOST_TAKEOVERS

    def once(self, what: str, done: Callable[[], bool], do: Callable[[], None]) -> bool:
        """Lets one runner do something while the others wait until it is done.

        Args:
            what: names it in the study.
            done: whether it is done, whoever did it.
            do: does it; if it fails, the next runner tries.
        """
        while not done():
            if self._claim(CLAIM + what):
                try:
                    if done():
                        return False
                    do()
                    return True
                finally:
                    with suppress(StorageError):
                        self._memory.remember(CLAIM + what, None)
            self._sleep(self.poll_seconds)
        return False

    def _claim(self, key: str) -> bool:
        held = self._memory.recall(key)
        if held and not self._is_mine(held) and not self._is_dead(key, held):
            return False
        mine = {"owner": self.name, "session": self._session}
        self._memory.remember(key, mine)
        self._sleep(min(1.0, self._ttl / 50))
        return bool(self._memory.recall(key) == mine)

    def _is_dead(self, key: str, held: Mapping[str, Any]) -> bool:
        """Whether the holder of a claim is silent, or was started anew."""
        runners = self._memory.recall_all(RUNNER)
        owner = runners.get(held["owner"])
        anew = owner is not None and owner["session"] != held["session"]
        return anew or self._is_silent(key, held, runners)
