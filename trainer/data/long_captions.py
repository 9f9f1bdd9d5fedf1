"""Captions that are longer than what the text encoder is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trainer.bases.prompts import token_counts
from trainer.data.dataset import Dataset

_LENGTHS = (75, 150, 225)


def told(dataset: Dataset, tokenizer: Callable[[], Any], most: int | None = None) -> Dataset:
    """The data set with a note on captions that would be cut, where there are any.

    Args:
        dataset: as it was read.
        tokenizer: makes the base model's; called only if a caption could be too long.
        most: tokens that the base model's family reads, where a plan has no say in it.
    """
    handling = dataset.handling
    limit = most or handling.max_token_length
    captions = [example.caption for example in dataset.examples]
    if all(len(caption.encode()) <= limit for caption in captions):
        return dataset
    counts = token_counts(tokenizer(), captions, handling.prompts)
    longest = max(range(len(counts)), key=counts.__getitem__)
    if counts[longest] <= limit:
        return dataset
    note = _note(sum(count > limit for count in counts), counts[longest], limit, most is not None)
    name = dataset.examples[longest].path.name
    return replace(dataset, warnings=(*dataset.warnings, f"{name}: {note}"))


def _note(count: int, longest: int, limit: int, fixed: bool) -> str:
    others = "this caption has" if count == 1 else f"the longest of {count} captions with"
    if fixed:
        return f"{others} {longest} tokens, more than the {limit} that the base model reads; shorten them."
    wider = [length for length in _LENGTHS if length > limit]
    enough = next((length for length in wider if length >= longest), None)
    remedy = f"set data.max_token_length = {enough or wider[-1]}" if wider else "shorten them"
    if wider and enough is None:
        remedy += " and shorten what is longer still"
    more = f"more than data.max_token_length = {limit}; what exceeds it is cut off"
    return f"{others} {longest} tokens, {more}: {remedy}."
