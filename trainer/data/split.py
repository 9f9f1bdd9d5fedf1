"""One split per study: by content, of different pictures; what looks alike is one picture (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

_SIDE = 16
MAX_DIFFERENT_BITS = 12
"""Of 256 gradient signs; re-encodings and small resizings of a picture differ in fewer."""
SMALL_SET = 20
"""Images below which one held-out side is too few to judge by: folds are dealt where nothing else is asked."""
FOLDS = 5
"""How many folds a small set is dealt into, if it has so many different images."""
MAX_COLOUR_DISTANCE = 0.04
"""Root mean square over 8 x 8 colour patches in [0, 1]; recoloured drawings differ by more."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of the examples on each side, in ascending order.

    Of pictures that look alike one is held out and the others are on no side, so that each figure on a held-out side
    is that of another picture; all of them are trained on where they are trained on.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What an image looks like, for finding its near-duplicates."""

    signs: np.ndarray
    """Difference hash: shape (256,), bool (after Krawetz 2013, at 16 x 16)."""
    patches: np.ndarray
    """Mean colours: shape (8, 8, 3), in [0, 1]."""


def look(image: Image.Image) -> Look:
    """Summarises an RGB image of any size."""
    grey = np.asarray(image.convert("L").resize((_SIDE + 1, _SIDE), Image.Resampling.BOX), dtype=np.int16)
    patches = np.asarray(image.resize((8, 8), Image.Resampling.BOX), dtype=np.float64) / 255
    return Look((grey[:, 1:] > grey[:, :-1]).ravel(), patches)


def near_duplicates(first: Look, second: Look) -> bool:
    """Whether a person would call the two the same picture."""
    if np.count_nonzero(first.signs != second.signs) > MAX_DIFFERENT_BITS:
        return False
    return float(np.sqrt(np.mean((first.patches - second.patches) ** 2))) <= MAX_COLOUR_DISTANCE


def groups(contents: Sequence[str], looks: Sequence[Look]) -> list[list[int]]:
    """Connected groups of duplicates and near-duplicates, each in ascending order."""
    parent = list(range(len(contents)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(len(contents)):
        for j in range(i):
            if contents[i] == contents[j] or near_duplicates(looks[i], looks[j]):
                parent[max(root(i), root(j))] = min(root(i), root(j))
    members: dict[int, list[int]] = {}
    for i in range(len(contents)):
        members.setdefault(root(i), []).append(i)
    return list(members.values())


def split(
    contents: Sequence[str], together: Sequence[Sequence[int]], shares: tuple[float, float], seed: int
) -> Split:
    """Deals groups to test, validation and training by the hash of their content.

    Args:
        contents: SHA-256 of every example.
        together: groups that must not be parted.
        shares: validation and test share of the different pictures, each in (0, 1); both 0 hold nothing out.
        seed: study seed.

    Raises:
        ValueError: there are too few groups for three sides.
    """
    if shares == (0, 0):
        return Split(tuple(range(len(contents))), (), ())
    if len(together) < 3:
        raise ValueError(
            f"only {len(together)} different image(s) among {len(contents)} after joining near-duplicates; "
            "three sides (train, validation, test) need at least 3"
        )
    wanted = [max(1, round(share * len(together))) for share in reversed(shares)]
    sides: list[list[int]] = [[], []]
    train: list[int] = []
    ranked = sorted(together, key=lambda group: (len(group) > 1, _rank(contents, group, seed)))
    for position, group in enumerate(ranked):
        left = len(ranked) - position
        for side, want in zip(sides, wanted, strict=True):
            empty_elsewhere = sum(not other for other in (*sides, train) if other is not side)
            if len(side) < want and left > empty_elsewhere:
                side.append(_shown(contents, group))
                break
        else:
            train.extend(group)
    return Split(tuple(sorted(train)), tuple(sorted(sides[1])), tuple(sorted(sides[0])))


def folds_for(different: int, beside_test: int) -> int:
    """How many folds a set of images is dealt into where the study does not say; 0 for none.

    Args:
        different: pictures that do not look alike.
        beside_test: those of them that are not in the test side.
    """
    return min(FOLDS, beside_test) if different < SMALL_SET and beside_test > 1 else 0


def folds(
    contents: Sequence[str], together: Sequence[Sequence[int]], shares: tuple[float, float], k: int, seed: int
) -> tuple[Split, ...]:
    """k splits whose validation sides are disjoint and cover all that is not in the test side.

    The test side is that of ``split`` and the same in all; the other groups are dealt by the hash of their
    content, each to the fold with the fewest pictures so far.

    Args:
        contents: SHA-256 of every example.
        together: groups that must not be parted.
        shares: validation and test share; the former does not matter here.
        k: how many folds, at least 2.
        seed: study seed.

    Raises:
        ValueError: there are too few groups for k folds and a test side.
    """
    test = split(contents, together, shares, seed).test
    rest = [group for group in together if set(test).isdisjoint(group)]
    if not 2 <= k <= len(rest):
        raise ValueError(
            f"folds must be from 2 to the number of different images beside the test side ({len(rest)}), "
            f"but got {k}"
        )
    held: list[list[Sequence[int]]] = [[] for _ in range(k)]
    for group in sorted(rest, key=lambda group: (-len(group), _rank(contents, group, seed))):
        min(held, key=len).append(group)
    return tuple(
        Split(
            tuple(sorted(i for group in rest if group not in fold for i in group)),
            tuple(sorted(_shown(contents, group) for group in fold)),
            test,
        )
        for fold in held
    )


def _rank(contents: Sequence[str], group: Sequence[int], seed: int) -> str:
    key = min(contents[i] for i in group)
    return hashlib.sha256(f"{seed}/split/{key}".encode()).hexdigest()


def _shown(contents: Sequence[str], group: Sequence[int]) -> int:
    """The picture of a group that is held out for all of them, whatever the order of files."""
    return min(group, key=lambda i: (contents[i], i))
