"""Where the pictures of a concept would lie, judged by its words alone: a teacher for CLIP's text tower.

Ridge regression from bags of words to mean picture embeddings, fitted on the concepts whose pictures were seen and
asked about all (a kernel form of Romera-Paredes and Torr 2015, "An embarrassingly simple approach to zero-shot
learning"). No picture of a hidden concept enters.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass

import torch
from artwork import words
from clip_data import MOST_KEYWORDS, Library
from torch import Tensor
from torch.nn import functional

RIDGE = 1.0
KEYWORD_WEIGHT = 0.6
STYLED_SHARE = 0.3
TRIGGER_SHARE = 0.1


@dataclass(frozen=True)
class Teacher:
    """Where captions belong among the picture embeddings.

    Attributes:
        names: Every concept with known words, hidden ones included.
        hints: Further words for each concept.
        places: The predicted mean embedding of each concept's pictures, shape (names, d).
        styles: What each style adds to it, each of shape (d,).
    """

    names: tuple[str, ...]
    hints: dict[str, tuple[str, ...]]
    places: Tensor
    styles: dict[str, Tensor]


def bags(kinds: dict[str, str], hints: dict[str, tuple[str, ...]]) -> Tensor:
    """Returns the words of each concept, rare ones weighing more, as rows of unit length.

    Args:
        kinds: Each concept's category.
        hints: Each concept's keywords.

    Returns:
        Shape (concepts, words that two concepts share).
    """
    counted = [_bag(slug, kind, hints.get(slug, ())) for slug, kind in kinds.items()]
    spread = Counter(word for bag in counted for word in bag)
    column = {word: place for place, word in enumerate(word for word, count in spread.items() if count > 1)}
    table = torch.zeros(len(counted), len(column))
    for row, bag in enumerate(counted):
        for word in bag.keys() & column.keys():
            table[row, column[word]] = bag[word] * math.log(len(counted) / spread[word])
    return functional.normalize(table, dim=-1)


def _bag(slug: str, kind: str, hints: tuple[str, ...]) -> dict[str, float]:
    bag = {f"category {kind}": 1.0}
    for text, weight in [(words(slug), 1.0), *((hint, KEYWORD_WEIGHT) for hint in hints)]:
        for word in (found.removesuffix("s") for found in text.split()):
            bag[word] = bag.get(word, 0.0) + weight
    return bag


def predicted(features: Tensor, seen: list[int], means: Tensor) -> Tensor:
    """Returns the ridge regression's value for every row of features.

    Args:
        features: Shape (n, words).
        seen: The m rows whose value is known.
        means: Their values, shape (m, d).
    """
    kernel = features @ features[seen].t()
    centre = means.mean(dim=0)
    weights = torch.linalg.solve(kernel[seen] + RIDGE * torch.eye(len(seen)), means - centre)
    return kernel @ weights + centre


def teacher(stock: Library, kinds: dict[str, str], pictures: Tensor) -> Teacher:
    """Returns the teacher that the pictures of a library make.

    Args:
        stock: The seen pictures, with words for all concepts.
        kinds: The category of every concept, hidden ones included.
        pictures: The embeddings of `stock`'s pictures, of unit length, shape (n, d).
    """
    means = torch.stack([pictures[list(rows)].mean(dim=0) for rows in stock.rows.values()])
    names = tuple(kinds)
    places = predicted(bags(kinds, stock.hints), [names.index(slug) for slug in stock.rows], means)
    own = dict(zip(stock.rows, means, strict=True))
    apart = pictures - torch.stack([own[name] for name in stock.names])
    styles = {
        style: apart[[row for row, found in enumerate(stock.styles) if found == style]].mean(dim=0)
        for style in dict.fromkeys(stock.styles)
    }
    return Teacher(names, stock.hints, places, styles)


def lesson(school: Teacher, count: int, generator: torch.Generator) -> tuple[list[str], Tensor]:
    """Returns captions of any concepts and the directions in which they belong, shape (count, d).

    Half of them are a name alone; the others have keywords beside or instead of it. Some name a style, some
    begin with a made-up word, as captions with a LoRA's trigger word do, which moves nothing.
    """
    chosen = torch.randperm(len(school.names), generator=generator)[:count].tolist()
    lot = random.Random(int(torch.randint(2**31, (1,), generator=generator)))
    texts, targets = [], []
    for place in chosen:
        text, target = _phrase(school, school.names[place], lot), school.places[place]
        kind = lot.random()
        if kind < STYLED_SHARE:
            style = lot.choice(list(school.styles))
            text = f"{text}, {style} style" if lot.random() < 0.7 else f"{style}, {text}"
            target = target + school.styles[style]
        elif kind < STYLED_SHARE + TRIGGER_SHARE:
            text = "".join(lot.choices("abcdefghijklmnopqrstuvwxyz", k=lot.randint(4, 10))) + ", " + text
        texts.append(text)
        targets.append(target)
    return texts, functional.normalize(torch.stack(targets), dim=-1)


def _phrase(school: Teacher, slug: str, lot: random.Random) -> str:
    hints = school.hints.get(slug, ())
    if not hints or lot.random() < 0.5:
        return words(slug)
    some = lot.sample(hints, min(len(hints), lot.randint(1, MOST_KEYWORDS)))
    return " ".join(some if len(some) > 1 and lot.random() < 0.3 else [words(slug), *some])
