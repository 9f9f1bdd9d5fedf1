"""Cuts CLIP's byte-pair vocabulary to its first merges, so that every text still tokenises with few entries."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from artwork import STATE

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

WHEEL = "open_clip_torch==3.3.0"
MEMBER = "open_clip/bpe_simple_vocab_16e6.txt.gz"
MERGES = 2048
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
TOKENS = 77


def byte_symbols() -> list[str]:
    """Returns the printable character that stands for each byte, in the order of CLIP's vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(others))]


def entries(merges: list[str]) -> dict[str, int]:
    """Returns the vocabulary that belongs to some merges; begin and end of text come last.

    Args:
        merges: Lines of two symbols with a blank between.

    Returns:
        Ids by symbol: bytes, bytes that end a word, merged symbols, begin, end.
    """
    symbols = byte_symbols()
    joined = ["".join(merge.split()) for merge in merges]
    listed = [*symbols, *(symbol + "</w>" for symbol in symbols), *joined, BEGIN, END]
    return {symbol: place for place, symbol in enumerate(listed)}


def first_merges(folder: Path, count: int) -> list[str]:
    """Returns CLIP's first merges, read out of the wheel that pip downloads (nothing is installed)."""
    found = sorted(folder.glob("open_clip_torch-*.whl"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL]
        subprocess.run(command, check=True)
        found = sorted(folder.glob("open_clip_torch-*.whl"))
    with zipfile.ZipFile(found[0]) as wheel:
        lines = gzip.decompress(wheel.read(MEMBER)).decode().splitlines()
    return lines[1 : 1 + count]


def write(folder: Path) -> None:
    """Writes a CLIPTokenizer folder: vocabulary, merges, and what names the special tokens."""
    merges = first_merges(STATE / "packages", MERGES)
    folder.mkdir(parents=True, exist_ok=True)
    specials = {"bos_token": BEGIN, "eos_token": END, "unk_token": END, "pad_token": END}
    settings = {
        **specials,
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": TOKENS,
        "do_lower_case": True,
        "add_prefix_space": False,
        "errors": "replace",
        "clean_up_tokenization_spaces": True,
    }
    (folder / "vocab.json").write_text(json.dumps(entries(merges), ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(specials, indent=2))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))


def tokenizer() -> CLIPTokenizer:
    """Returns the tokenizer, written to `.micro/tokenizer` the first time."""
    from transformers import CLIPTokenizer

    folder = STATE / "tokenizer"
    if not (folder / "tokenizer_config.json").exists():
        write(folder)
    return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)


if __name__ == "__main__":
    print(len(tokenizer()), "tokens")
