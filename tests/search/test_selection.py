import math
from dataclasses import replace

import pytest

from search.objective import Measurement
from search.selection import (
    BEST,
    Candidate,
    NothingToSelect,
    Preference,
    above_base,
    cheapest,
    clear,
    decide,
    growth,
    shortlist,
)
from search.trial import Reason

BREIMAN = Preference(earlier=1.0)


def candidate(
    trial: int, epoch: int, mean: float, error: float = 0.1, images: int | None = None, rank: int = 8
) -> Candidate:
    return Candidate(trial, epoch, images or 100 * epoch, rank, Measurement(mean, error))


def test_the_earliest_within_one_standard_error_wins() -> None:
    candidates = [
        candidate(0, 1, 0.80),
        candidate(0, 2, 0.95),
        candidate(1, 3, 1.00),
        candidate(1, 4, 0.99),
    ]
    assert BREIMAN.choose(candidates) == candidates[1]
    assert BEST.choose(candidates) == candidates[2]


def test_the_standard_error_is_the_best_ones() -> None:
    unsure = candidate(0, 1, 0.5, error=10.0)
    assert BREIMAN.choose([unsure, candidate(1, 2, 1.0, error=0.1)]).trial == 1


def celled(trial: int, epoch: int, *values: float) -> Candidate:
    mean = sum(values) / len(values)
    return Candidate(trial, epoch, 100 * epoch, 8, Measurement(mean, 1.0), {}, {"validation": values})


def test_what_candidates_share_cancels_in_the_standard_error() -> None:
    best, worse, equal = (
        celled(0, 3, 5.0, 1.0, 9.0),
        celled(1, 1, 4.8, 0.9, 8.7),
        celled(2, 2, 4.0, 2.0, 8.9),
    )
    # leads over the best: (0.2, 0.1, 0.3) is 0.2 +- 0.058; (1, -1, 0.1) is 0.033 +- 0.58
    decision = decide([best, worse, equal], preference=BREIMAN)
    assert decision.close == [best, equal]
    assert decision.winner == equal


def test_a_barred_candidate_never_wins_while_another_may() -> None:
    copied = replace(candidate(0, 1, 9.0), barred=Reason("copies"))
    fair = candidate(1, 2, 0.1)
    assert BREIMAN.choose([copied, fair]) == fair
    assert shortlist([copied, fair], 3) == [fair]
    decision = decide([copied, fair])
    assert decision.winner == fair


def test_where_all_are_barred_the_best_of_them_wins() -> None:
    barred = [replace(candidate(t, 1, float(t)), barred=Reason.told(f"reason {t}")) for t in range(2)]
    assert shortlist(barred, 3) == barred[::-1]
    decision = decide(barred)
    assert decision.winner == barred[1]


def test_equal_images_are_decided_by_rank_then_by_number() -> None:
    ties = [candidate(3, 1, 1.0, rank=8), candidate(2, 1, 1.0, rank=4), candidate(1, 1, 1.0, rank=4)]
    assert BEST.choose(ties).trial == 1
    assert BEST.choose(reversed(ties)).trial == 1


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_diverged_candidate_never_wins(broken: float) -> None:
    candidates = [candidate(0, 1, broken), candidate(1, 2, -5.0), candidate(2, 1, 9.0, error=broken)]
    assert BREIMAN.choose(candidates).trial == 1
    assert [c.trial for c in shortlist(candidates, 3)] == [1]
    assert decide(candidates).winner.trial == 1
    with pytest.raises(NothingToSelect):
        decide(candidates[:1])


def test_the_shortlist_takes_at_most_two_of_a_trial() -> None:
    candidates = [candidate(0, e, 2.0 + e / 100, error=0.05) for e in range(1, 6)]
    candidates += [candidate(1, 1, 1.0), candidate(2, 1, 0.5)]
    chosen = shortlist(candidates, 4, BREIMAN)
    # the best two of trial 0 are epochs 5 and 4, but epoch 1 is the choice by one standard error
    assert [(c.trial, c.epoch) for c in chosen] == [(0, 5), (0, 1), (1, 1), (2, 1)]


def test_the_shortlist_holds_the_choice_by_one_standard_error_even_if_many_are_better() -> None:
    candidates = [candidate(t, 5, 1.0 + t / 1000, error=0.5) for t in range(9)] + [candidate(9, 1, 0.7)]
    chosen = shortlist(candidates, 3, BREIMAN)
    assert [c.trial for c in chosen] == [8, 7, 9]
    assert shortlist(candidates, 1, BREIMAN) == [candidates[-1]]
    with pytest.raises(ValueError, match="size=0"):
        shortlist(candidates, 0)


def test_a_clear_winner_is_separable() -> None:
    decision = decide([candidate(0, 2, 1.0), candidate(0, 1, 0.95), candidate(1, 1, 0.5)], preference=BREIMAN)
    assert decision.winner == candidate(0, 1, 0.95)
    assert decision.best == candidate(0, 2, 1.0)
    assert decision.separable


def test_a_close_finalist_of_another_trial_makes_the_choice_inseparable() -> None:
    decision = decide([candidate(0, 1, 1.0), candidate(1, 2, 0.95)])
    assert decision.winner == decision.best == candidate(0, 1, 1.0)
    assert not decision.separable


def test_less_is_given_away_for_earliness_where_less_is_asked_for() -> None:
    """The best leads by 0.05 (half its error of 0.1) and by 0.08; both stay close, so that it is heard on."""
    candidates = [candidate(0, 1, 0.92), candidate(0, 2, 0.95), candidate(0, 3, 1.0)]
    winners = {p: decide(candidates, preference=Preference(p)).winner.epoch for p in (0.0, 0.49, 0.51, 1.0)}
    assert winners == {0.0: 3, 0.49: 3, 0.51: 2, 1.0: 1}
    assert len(decide(candidates).close) == 3


def test_a_recipe_wins_unless_something_is_ahead_of_it_by_the_margin() -> None:
    """Burden of proof: what anyone would have had without a search gives way only to what is better."""
    candidates = [candidate(0, 9, 0.96), candidate(1, 9, 0.94), candidate(2, 1, 0.97), candidate(2, 2, 1.0)]
    recipes = {(0, 9), (1, 9)}
    winners = {
        m: Preference(recipe=m, recipes=recipes).choose(candidates).key for m in (0.0, 0.39, 0.41, 0.7)
    }
    assert winners == {0.0: (2, 2), 0.39: (2, 2), 0.41: (0, 9), 0.7: (0, 9)}
    assert decide(candidates, preference=Preference(recipe=0.5, recipes=recipes)).best == candidates[3]


def test_a_recipe_that_is_not_clearly_behind_is_judged_again() -> None:
    better = [candidate(t, 1, 1.0 + t / 100) for t in range(5)]
    recipes = Preference(recipe=0.5, recipes={(8, 9), (9, 9)})
    near, far = candidate(9, 9, 0.9), candidate(8, 9, 0.5)
    assert shortlist([*better, near, far], 3, recipes) == [better[4], better[3], near]
    assert shortlist([*better, far], 3, recipes) == [better[4], better[3], better[2]]


def test_the_lead_over_the_base_has_the_error_of_its_own_cells_widened_for_their_number() -> None:
    ahead = above_base(celled(0, 1, 1.0, 2.0, 3.0))
    # of three values chance exceeds 2 standard errors as rarely as 4.53 of them
    assert (ahead.mean, ahead.standard_error) == (2.0, pytest.approx(1 / math.sqrt(3) * 4.526 / 2, rel=1e-3))
    assert above_base(celled(0, 1, 2.0)) == Measurement(2.0, 1.0)
    assert above_base(candidate(0, 1, 0.5)) == Measurement(0.5, 0.1)


def test_a_lead_of_one_error_would_be_clear_with_four_times_the_cells() -> None:
    assert [clear(Measurement(mean, 0.1)) for mean in (0.19, 0.21, -1.0)] == [False, True, False]
    assert growth(Measurement(0.1, 0.1)) == pytest.approx(4.0)
    assert growth(Measurement(0.0, 0.1)) == growth(Measurement(-1.0, 0.1)) == math.inf


def test_the_cheapest_needed_the_fewest_images_then_the_smallest_rank() -> None:
    late, large, small = candidate(0, 2, 9.0), candidate(1, 1, 0.0, rank=16), candidate(2, 1, 0.0, rank=4)
    assert cheapest([late, large, small]) == small
