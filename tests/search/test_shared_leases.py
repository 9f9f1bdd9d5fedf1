from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from search.driver import Driver
from search.leases import MOST_TAKEOVERS
from search.memory import Memory
from search.shared_leases import NameTakenError, Shared, Stillness
from search.trial import Finished, Infeasible, Point, Reason
from tests.search.conftest import Clock, Study
from tests.words import sentence_of

TTL = 100.0


class Party:
    """Several runners of one study, each with a connection and a clock of its own."""

    def __init__(self, study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
        self.study = study
        monkeypatch.setattr(Memory, "is_shared", True)

    def leases(self, name: str, place: str = "here", **changes: Any) -> Shared:
        clock = Clock()
        made = Shared(
            self.study.memory(), name, place, TTL, **{"clock": clock, "sleep": lambda s: None} | changes
        )
        made.time = clock  # type: ignore[attr-defined]
        made.enter()
        made.look()
        return made

    def driver(self, leases: Shared, **changes: Any) -> Driver:
        return self.study.driver(leases._memory, leases, **changes)


@pytest.fixture
def party(study: Study, monkeypatch: pytest.MonkeyPatch) -> Party:
    return Party(study, monkeypatch)


def pass_time(looker: Any, seconds: float, *living: Shared) -> None:
    """So many seconds on one runner's clock; it looks often, and those who live beat."""
    for _ in range(round(seconds / (TTL / 4))):
        looker.time.seconds += TTL / 4
        for runner in living:
            runner.beat()
        looker.look()


def test_a_trial_of_a_living_runner_is_left_alone(party: Party) -> None:
    one, other = party.leases("one"), party.leases("other")
    mine, theirs = party.driver(one), party.driver(other)
    assert mine.ask() is not None
    pass_time(other, 10 * TTL, one)
    assert other.adrift() == []
    proposal = theirs.ask()
    assert proposal is not None and (proposal.number, proposal.resumed) == (1, False)
    assert (mine.others, theirs.others) == (1, 1)


def test_a_silent_runners_trial_is_taken_over_once_after_its_time_to_live(party: Party) -> None:
    one, other, third = (party.leases(name) for name in ("one", "other", "third"))
    first = party.driver(one).ask()
    assert first is not None
    pass_time(other, 0.75 * TTL)
    assert other.adrift() == []
    pass_time(other, 0.5 * TTL)
    pass_time(third, 2 * TTL)
    assert other.adrift() == third.adrift() == [0]
    taken = party.driver(other).ask()
    assert taken is not None and (taken.number, taken.values, taken.resumed) == (0, first.values, True)
    second = party.driver(third).ask()
    assert second is not None and (second.number, second.resumed) == (1, False)


def test_whoever_lost_a_trial_neither_reports_nor_tells_it(party: Party) -> None:
    one, other = party.leases("one"), party.leases("other")
    sleeper, taker = party.driver(one), party.driver(other)
    assert sleeper.ask() is not None
    pass_time(other, 2 * TTL)
    assert taker.ask() is not None
    assert sleeper.report(0, {"epoch": 1}, Point(100, 1.0)) == "lost"
    assert not sleeper.tell(0, Finished())
    assert taker.report(0, {"epoch": 1}, Point(100, 2.0)) == "continue"
    assert taker.tell(0, Finished())
    assert not taker.tell(0, Infeasible(Reason.told("told twice")))
    (record,) = taker.records()
    assert [card["objective"] for card in record.cards] == [2.0] and record.state == "finished"


def test_clocks_of_other_machines_do_not_matter(party: Party) -> None:
    one, other = party.leases("one"), party.leases("other")
    party.driver(one).ask()
    one.time.seconds = 1e9  # type: ignore[attr-defined]
    pass_time(other, 5 * TTL, one)
    assert other.adrift() == []


def test_a_looker_that_slept_or_lost_the_database_does_not_count_that_time(party: Party) -> None:
    one, other = party.leases("one"), party.leases("other")
    party.driver(one).ask()
    other.time.seconds += 100 * TTL  # type: ignore[attr-defined]
    other.look()
    assert other.adrift() == []


def test_a_runner_started_again_takes_its_own_trials_back_at_once(party: Party) -> None:
    before = party.driver(party.leases("one"))
    first = before.ask()
    again = party.driver(party.leases("one"))
    resumed = again.ask()
    assert first is not None and resumed is not None
    assert (resumed.number, resumed.values, resumed.resumed) == (0, first.values, True)
    assert before.report(0, {"epoch": 1}, Point(100, 1.0)) == "lost"


def test_a_runner_that_leaves_gives_its_trials_away_at_once(party: Party) -> None:
    one, other = party.leases("one"), party.leases("other")
    party.driver(one).ask()
    one.leave()
    other.look()
    assert other.adrift() == [0]


def test_a_name_at_work_in_another_place_is_refused_and_a_silent_one_is_not(party: Party) -> None:
    one = party.leases("one", "here")
    with pytest.raises(NameTakenError, match="A runner named 'one' is at work in here"):
        party.leases("one", "there", sleep=lambda seconds: one.beat())
    party.leases("one", "there")


def test_a_hand_over_cut_short_is_finished_by_the_next_even_without_budget(party: Party) -> None:
    one, other = party.leases("one"), party.leases("other")
    first = party.driver(one, budget={"trials": 1}).ask()
    assert first is not None
    other._memory.release(0)  # killed before it took the trial
    other.look()
    taken = party.driver(other, budget={"trials": 1}).ask()
    assert taken is not None and (taken.number, taken.values, taken.resumed) == (0, first.values, True)


def test_a_trial_popped_in_the_middle_of_a_hand_over_is_resumed(party: Party) -> None:
    one, other = party.leases("one"), party.leases("other")
    party.driver(one).ask()
    other._memory.release(0)
    taken = party.driver(other).ask()
    assert taken is not None and (taken.number, taken.resumed) == (0, True)


def test_of_two_that_let_a_trial_go_at_the_same_moment_one_gets_it(party: Party) -> None:
    one, other, third = (party.leases(name) for name in ("one", "other", "third"))
    party.driver(one).ask()

    def late(number: int) -> bool:
        assert third.take_over(number)
        return real(number)

    real = other._memory.seize
    other._memory.seize = late  # type: ignore[method-assign]
    assert not other.take_over(0)
    assert third.holds(0) and not other.holds(0)


def test_a_trial_without_a_lease_is_taken_up_after_a_while(party: Party) -> None:
    one = party.leases("one")
    party.study.memory().begin()  # killed before its lease was written
    pass_time(one, 0.75 * TTL)
    assert one.adrift() == []
    pass_time(one, 0.75 * TTL)
    taken = party.driver(one).ask()
    assert taken is not None and (taken.number, taken.resumed) == (0, True)


def test_a_trial_that_ends_its_runners_is_given_up(party: Party) -> None:
    party.driver(party.leases("first")).ask()
    for name in map(str, range(MOST_TAKEOVERS + 1)):
        runner = party.leases(name)
        pass_time(runner, 2 * TTL)
        proposal = party.driver(runner).ask()
    assert proposal is not None and proposal.number == 1
    failed = party.study.memory().record(0)
    assert failed.state == "failed" and failed.reason is not None
    assert sentence_of(failed.reason).startswith("It was taken over from lost runners more than 3 times")


def test_a_trial_that_gets_on_may_be_taken_over_for_ever(party: Party) -> None:
    party.driver(party.leases("first")).ask()
    for epoch in range(1, MOST_TAKEOVERS + 4):
        runner = party.leases(str(epoch))
        pass_time(runner, 2 * TTL)
        driver = party.driver(runner)
        assert (proposal := driver.ask()) is not None and proposal.number == 0
        driver.report(0, {"epoch": epoch}, Point(100 * epoch, 1.0))


def test_recipes_are_enqueued_once_by_two_that_begin_together(party: Party) -> None:
    first = ({"lora.rank": 16}, {"lora.rank": 32})
    runners = [Shared(party.study.memory(), name, "here", ttl=5.0) for name in ("one", "other")]
    for runner in runners:
        runner.enter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda runner: party.driver(runner, first=first), runners))
    ranks = [record.values.get("lora.rank") for record in party.study.memory().records()]
    assert ranks == [16, 32]


def test_the_budget_of_trials_counts_all_runners_and_is_never_exceeded(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = party.driver(party.leases("one")), party.driver(party.leases("other"))
    for driver in (one, other, one, other):
        assert driver.ask() is not None
    monkeypatch.setattr(Driver, "spent", None)  # both have looked before either began
    assert one.ask() is not None
    assert other.ask() is None
    states = [record.state for record in one.records()]
    assert states == ["running"] * 5 + ["waiting"]


def test_time_is_kept_by_runner_and_summed(party: Party) -> None:
    one, other = party.driver(party.leases("one")), party.driver(party.leases("other"))
    one.ask(), other.ask()
    party.study.clock.seconds = 60
    one.report(0, {"epoch": 1}, Point(100, 1.0))
    other.report(1, {"epoch": 1}, Point(100, 1.0))
    minutes = party.driver(party.leases("third"), budget={"minutes": 2})
    assert sentence_of(minutes.spent) == "The budget of 2 minutes is spent (2.0 used)."


def test_a_dead_runners_claim_is_taken_and_a_living_ones_waited_for(party: Party) -> None:
    one, other = party.leases("one"), party.leases("other")
    assert one._claim("claim/verdict")
    assert not other._claim("claim/verdict")
    for _ in range(5):
        other.time.seconds += TTL / 4  # type: ignore[attr-defined]
        claimed = other._claim("claim/verdict")
    assert claimed
    done: list[str] = []
    assert other.once("verdict", lambda: bool(done), lambda: done.append("other"))
    assert not one.once("verdict", lambda: bool(done), lambda: done.append("one"))
    assert done == ["other"]


def test_what_fails_once_can_be_tried_by_the_next(party: Party) -> None:
    one, other = party.leases("one"), party.leases("other")
    with pytest.raises(ZeroDivisionError):
        one.once("verdict", lambda: False, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    done: list[int] = []
    assert other.once("verdict", lambda: bool(done), lambda: done.append(1))


def test_stillness_begins_anew_with_every_change() -> None:
    clock = Clock()
    still = Stillness(clock, longest_step=10)
    assert still.age("a", 1) == 0
    clock.seconds = 8
    assert still.age("a", 1) == 8
    clock.seconds = 30
    assert still.age("a", 1) == 18
    assert still.age("a", 2) == 0
    clock.seconds = 20  # a clock that went back all the same
    assert still.age("a", 2) == 0


def test_a_heart_beats_while_its_runner_works(party: Party) -> None:
    leases = Shared(party.study.memory(), "one", "here", ttl=0.2)
    leases.enter()
    with leases.beating():
        before: Callable[[], Any] = lambda: party.study.memory().recall("runner/one")["beat"]  # noqa: E731
        first = before()
        for _ in range(100):
            if before() > first:
                break
        assert before() > first
    assert party.study.memory().recall("runner/one")["left"]
