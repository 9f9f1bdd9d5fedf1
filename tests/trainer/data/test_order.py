"""Every image as often as asked, in one order for all trials."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from trainer.data.order import Batch, deck, epoch_batches, images_per_epoch, lowest_terms, steps_per_epoch

SIZES = [(64, 64), (96, 48), (48, 96)]
SETS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from(SIZES)), min_size=1, max_size=12)


@given(
    images=SETS,
    repeats=st.one_of(st.none(), st.integers(1, 4)),
    batch_size=st.integers(1, 5),
    epoch=st.integers(0, 3),
    seed=st.integers(0, 9),
)
def test_an_epoch_shows_every_image_as_often_as_asked(
    images: list[tuple[int, tuple[int, int]]], repeats: int | None, batch_size: int, epoch: int, seed: int
) -> None:
    counts, sizes = [n for n, _ in images], [size for _, size in images]
    cards = deck(range(len(images)), counts)
    batches = epoch_batches(cards, sizes, epoch, repeats, batch_size, seed)
    shown = Counter(i for batch in batches for i in batch.examples)
    times = cards.repeats if repeats is None else repeats
    assert shown == {i: n // cards.repeats * times for i, n in enumerate(counts)}
    assert len(batches) == steps_per_epoch(cards, sizes, repeats, batch_size)
    assert sum(shown.values()) == images_per_epoch(cards, repeats)
    assert all({sizes[i] for i in batch.examples} == {batch.size} for batch in batches)


@given(images=SETS, batch_size=st.integers(1, 5), repeats=st.integers(1, 4))
def test_only_the_last_batch_of_a_size_may_be_short(
    images: list[tuple[int, tuple[int, int]]], batch_size: int, repeats: int
) -> None:
    sizes = [size for _, size in images]
    cards = deck(range(len(images)), [1] * len(images))
    batches = epoch_batches(cards, sizes, 0, repeats, batch_size, 0)
    for size in set(sizes):
        lengths = [len(batch.examples) for batch in batches if batch.size == size]
        assert all(length == batch_size for length in lengths[:-1])
        assert 1 <= lengths[-1] <= batch_size


def test_folders_of_20_and_30_repeats_are_dealt_2_to_3() -> None:
    cards = deck([4, 7], [20, 30])
    assert Counter(cards.cards) == {4: 2, 7: 3}
    assert cards.repeats == 10
    assert images_per_epoch(cards, None) == 50
    assert images_per_epoch(cards, 2) == 10


def order(repeats: int | None, batch_size: int, epochs: int, seed: int = 0) -> dict[int, int]:
    """Example by presentation index."""
    cards = deck(range(7), [3] * 7)
    batches: list[Batch] = []
    for epoch in range(epochs):
        batches += epoch_batches(cards, [(64, 64)] * 7, epoch, repeats, batch_size, seed)
    return {p: i for batch in batches for p, i in zip(batch.presentations, batch.examples, strict=True)}


def test_a_presentation_shows_the_same_image_whatever_repeats_and_batch_size() -> None:
    wanted = order(1, 1, 6)
    assert order(3, 2, 2) == wanted
    assert order(2, 5, 3) == wanted
    assert order(None, 7, 2) == wanted


def test_presentations_are_numbered_without_gaps() -> None:
    assert list(order(2, 1, 3)) == list(range(42))


def test_every_deal_of_the_deck_has_its_own_order() -> None:
    shown = list(order(1, 1, 4).values())
    deals = [tuple(shown[start : start + 7]) for start in range(0, 28, 7)]
    assert len(set(deals)) > 1
    assert all(sorted(deal) == list(range(7)) for deal in deals)


def test_another_seed_is_another_order() -> None:
    assert order(1, 1, 3, seed=1) != order(1, 1, 3, seed=2)


def test_accumulated_batches_share_a_step_and_the_last_window_may_be_smaller() -> None:
    cards, sizes = deck(range(5), [2] * 5), [(64, 64)] * 3 + [(96, 48)] * 2
    batches = len(epoch_batches(cards, sizes, 0, None, 2, 0))
    assert batches == 3 + 2
    assert [steps_per_epoch(cards, sizes, None, 2, count) for count in (1, 2, 4, 9)] == [5, 3, 2, 1]


def accompanied(
    images: int, others: int, repeats: int, batch_size: int, epochs: int = 1, mixed: bool = False
) -> tuple[list[Batch], list[tuple[int, int]]]:
    """All batches, and the size of every example; the regularisation images come after the others."""
    sizes = [SIZES[i % 2] if mixed else SIZES[0] for i in range(images + others)]
    cards = replace(deck(range(images), [1] * images), regularisation=tuple(range(images, images + others)))
    dealt = [epoch_batches(cards, sizes, epoch, repeats, batch_size, 0) for epoch in range(epochs)]
    return [batch for batches in dealt for batch in batches], sizes


@given(
    images=st.integers(1, 8),
    others=st.integers(1, 12),
    repeats=st.integers(1, 4),
    batch_size=st.integers(1, 5),
    mixed=st.booleans(),
)
def test_every_training_image_comes_with_one_regularisation_image(
    images: int, others: int, repeats: int, batch_size: int, mixed: bool
) -> None:
    batches, sizes = accompanied(images, others, repeats, batch_size, mixed=mixed)
    plain = epoch_batches(deck(range(images), [1] * images), sizes, 0, repeats, batch_size, 0)
    assert len(batches) == len(plain)
    for batch, alone in zip(batches, plain, strict=True):
        count = batch.training
        assert (batch.presentations[:count], batch.examples[:count]) == (alone.presentations, alone.examples)
        assert batch.presentations[count:] == tuple(-1 - p for p in alone.presentations)
        assert all(i >= images for i in batch.examples[count:])
        assert batch.size == alone.size


def test_regularisation_images_are_all_shown_before_any_is_shown_again() -> None:
    batches, _ = accompanied(images=4, others=6, repeats=3, batch_size=1, epochs=2)
    shown = [batch.examples[1] for batch in batches]
    for start in range(0, 24, 6):
        assert sorted(shown[start : start + 6]) == list(range(4, 10))


def test_regularisation_images_of_the_same_size_are_preferred_and_dealt_evenly() -> None:
    batches, sizes = accompanied(images=6, others=6, repeats=4, batch_size=2, epochs=2, mixed=True)
    shown = Counter(i for batch in batches for i in batch.examples[batch.training :])
    assert all(sizes[i] == batch.size for batch in batches for i in batch.examples)
    assert shown == dict.fromkeys(range(6, 12), 8)


def test_the_companion_depends_on_the_presentation_alone() -> None:
    def companions(repeats: int, batch_size: int, epochs: int) -> dict[int, int]:
        batches, _ = accompanied(5, 7, repeats, batch_size, epochs, mixed=True)
        return {p: i for batch in batches for p, i in zip(batch.presentations, batch.examples, strict=True)}

    assert companions(1, 1, 6) == companions(3, 4, 2) == companions(2, 2, 3)


def test_folders_of_regularisation_images_are_dealt_in_lowest_terms() -> None:
    assert Counter(lowest_terms([4, 7, 9], [2, 4, 6])) == {4: 1, 7: 2, 9: 3}
    assert lowest_terms([], []) == ()
