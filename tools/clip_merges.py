"""Writes the list of CLIP's byte-pair merges that lorasearch ships for single-file bases, which carry no tokenizer."""

from __future__ import annotations

import gzip
from pathlib import Path

from artwork import STATE
from vocabulary import first_merges

TARGET = Path(__file__).parents[1] / "trainer" / "bases" / "clip" / "merges.txt.gz"
MERGES = 49152 - 256 - 2
"""CLIP's vocabulary of 49,408 entries: 256 bytes, the same ending a word, these merges, begin and end of text."""


def write(target: Path = TARGET) -> None:
    """Writes the merges, one a line, compressed; the same bytes every time."""
    merges = first_merges(STATE / "packages", MERGES)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress("\n".join(merges).encode(), compresslevel=9, mtime=0))


if __name__ == "__main__":
    write()
    print(TARGET, TARGET.stat().st_size, "bytes")
