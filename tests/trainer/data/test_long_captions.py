"""The note on captions that are cut, against the tokenizer's own counts."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from trainer.bases.tokenizer import clip_tokenizer
from trainer.data.dataset import Dataset, Handling
from trainer.data.long_captions import told


def captioned(dataset: Dataset, captions: list[str], **handling: Any) -> Dataset:
    examples = tuple(
        replace(example, caption=caption)
        for example, caption in zip(dataset.examples, captions, strict=False)
    )
    return replace(dataset, examples=examples, handling=Handling(**handling), warnings=())


def tokenizer() -> Any:
    return clip_tokenizer("<|endoftext|>")


@pytest.mark.parametrize(
    ("counts", "limit", "words"),
    [
        ([3, 76], 75, "this caption has 76 tokens, .*75.*set data.max_token_length = 150."),
        ([80, 160, 3], 75, "the longest of 2 captions with 160 tokens, .* = 225."),
        ([151, 1], 150, "this caption has 151 tokens, .*150.* = 225."),
        ([300, 1], 75, "300 tokens, .* = 225 and shorten what is longer still."),
        ([300, 1], 225, "300 tokens, .*: shorten them."),
    ],
)
def test_it_counts_names_and_helps(few_dataset: Dataset, counts: list[int], limit: int, words: str) -> None:
    made = captioned(few_dataset, ["cat " * count for count in counts], max_token_length=limit)
    (note,) = told(made, tokenizer).warnings
    assert note.startswith(made.examples[counts.index(max(counts))].path.name)
    assert re.search(words, note)


def test_captions_that_fit_are_not_mentioned(few_dataset: Dataset) -> None:
    fits = captioned(few_dataset, ["cat " * 75, "dog"])
    assert told(fits, tokenizer).warnings == ()
    weighted = captioned(few_dataset, ["(" * 40 + "cat" + ")" * 40], weighted_captions=True)
    assert told(weighted, tokenizer).warnings == ()


def test_short_captions_need_no_tokenizer(few_dataset: Dataset) -> None:
    def never() -> Any:
        raise AssertionError("no caption could be too long")

    short = captioned(few_dataset, ["x" * 75])
    assert told(short, never) is short
