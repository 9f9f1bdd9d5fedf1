"""CLIP's tokenizer from the one shipped list of merges, for single files, which carry none."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

MERGES = Path(__file__).parent / "clip" / "merges.txt.gz"
"""CLIP's byte-pair merges, one a line; ``tools/clip_merges.py`` makes it."""
TOKENS = 77
BEGIN, END = "<|startoftext|>", "<|endoftext|>"


def clip_tokenizer(padding: str) -> Any:
    """The tokenizer of SD 1.x, 2.x and SDXL.

    Args:
        padding: the token that fills captions up to 77 tokens.
    """
    from transformers import CLIPTokenizer

    merges = gzip.decompress(MERGES.read_bytes()).decode().splitlines()
    return CLIPTokenizer(
        vocab=_vocabulary(merges),
        merges=[tuple(merge.split()) for merge in merges],
        pad_token=padding,
        model_max_length=TOKENS,
    )


def _vocabulary(merges: list[str]) -> dict[str, int]:
    """Ids by symbol: bytes, bytes that end a word, merged symbols, begin and end of text."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(others))]
    joined = ["".join(merge.split()) for merge in merges]
    listed = [*symbols, *(symbol + "</w>" for symbol in symbols), *joined, BEGIN, END]
    return {symbol: place for place, symbol in enumerate(listed)}
