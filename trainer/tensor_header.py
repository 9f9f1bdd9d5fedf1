"""Headers of safetensors files that strangers made: read within limits, believed only where the file bears them out."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 2**20
"""Of a header; the largest known, of an SDXL checkpoint, has 0.4 MiB."""
MOST_TENSORS = 100_000
"""An SDXL checkpoint has 2,515, a LoRA of all its layers 2,400."""
MOST_SIDES = 8
"""Of one tensor."""
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle")
"""Suffixes of files that can run code when they are loaded."""
CONVERT = (
    "take the .safetensors file of the same model, or convert it where you trust its source: "
    "`python -c \"import torch, safetensors.torch as s; d = torch.load('IN', weights_only=True); "
    "s.save_file(d.get('state_dict', d), 'OUT.safetensors')\"`"
)
"""What to do with a pickle."""

_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16,
    "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip
_METADATA = "__metadata__"
_BEGINNINGS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""Of torch.save's zip archives and of bare pickles; lengths of headers, of 640 bytes for one, begin so too."""
_FIRST = b"{"
"""Of a header."""


class HeaderError(ValueError):
    """The file is no safetensors file, or lies about itself; the message is a clause without the file's name."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file says of itself, checked against its size."""

    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    """Of each tensor, as safetensors writes them: ``F16``, ``BF16``, …"""
    metadata: Mapping[str, str]


def read(path: Path) -> Header:
    """Reads and checks a header; no tensor is touched and nothing larger than ``MOST_BYTES`` is held.

    Raises:
        HeaderError: it is a pickle, no regular file, cut off, or its tables contradict each other.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise HeaderError("it is no regular file")
    with path.open("rb") as stream:
        size = path.stat().st_size
        begin, first = stream.read(8), stream.read(1)
        if begin.startswith(_BEGINNINGS) and first != _FIRST:
            raise HeaderError("it is a pickle in spite of its name, which could run code")
        length = int.from_bytes(begin, "little")
        if len(begin) < 8 or length > size - 8:
            raise HeaderError("its header is longer than the file")
        if length > MOST_BYTES:
            raise HeaderError(f"its header says {length} bytes, more than {MOST_BYTES} are not read")
        stream.seek(8)
        table = _table(stream.read(length))
    said = table.pop(_METADATA, None) or {}
    if not isinstance(said, dict) or not all(isinstance(text, str) for text in said.values()):
        raise HeaderError(f"{_METADATA} must hold text by name")
    if len(table) > MOST_TENSORS:
        raise HeaderError(f"it names {len(table)} tensors, more than {MOST_TENSORS} are not read")
    _check_places(table, size - 8 - length)
    shapes = {name: tuple(entry["shape"]) for name, entry in table.items()}
    return Header(shapes, {name: entry["dtype"] for name, entry in table.items()}, said)


def weights_problem(path: Path) -> str | None:
    """Why a folder in transformers layout cannot be loaded safely, as a clause with the remedy; None if it can."""
    if path.suffix.lower() in PICKLES and not path.is_dir():
        return f"pickle files can run code and are refused; {CONVERT}"
    if path.is_file():
        return "this is a file; give the folder that holds it with its configuration"
    files = sorted(path.glob("*.safetensors"))
    if not files:
        pickles = sorted(file.name for file in path.iterdir() if file.suffix.lower() in PICKLES)
        beside = f" but {pickles[0]}, which could run code" if pickles else ""
        return f"there is no .safetensors file in this folder{beside}; {CONVERT}"
    for file in files:
        try:
            read(file)
        except (OSError, HeaderError) as error:
            return f"{file.name} is not a whole .safetensors file ({error}); download it again"
    return None


def _table(text: bytes) -> dict[str, Any]:
    try:
        table = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except HeaderError:
        raise
    except RecursionError:
        raise HeaderError("its header is nested too deeply") from None
    except ValueError as error:
        raise HeaderError(f"its header is no JSON: {error}") from None
    if not isinstance(table, dict):
        raise HeaderError("its header is no table")
    return table


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table in which no name stands twice: readers would disagree on which one counts."""
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise HeaderError(f"its header names {twice[:80]!r} twice")
    return table


def _check_places(table: Mapping[str, Any], room: int) -> None:
    """Every tensor lies within the file, as long as its shape and type say, and they follow each other gaplessly."""
    places = sorted((_place(name, entry, room), name) for name, entry in table.items())
    end = 0
    for (first, last), name in places:
        if first != end:
            what = "overlaps another" if first < end else "leaves a gap before it"
            raise HeaderError(f"the tensor {name[:80]!r} {what}")
        end = last
    if end != room:
        raise HeaderError(f"its tensors take {end} bytes, but the file has {room} for them")


def _place(name: str, entry: Any, room: int) -> tuple[int, int]:
    """Where a tensor begins and ends."""
    shown = f"the tensor {name[:80]!r}"
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise HeaderError(f"{shown} lacks dtype, shape or data_offsets")
    bits = _BITS.get(entry["dtype"]) if isinstance(entry["dtype"], str) else None
    if bits is None:
        raise HeaderError(f"{shown} has the unknown dtype {str(entry['dtype'])[:40]!r}")
    shape, place = entry["shape"], entry["data_offsets"]
    if not _counts(shape) or len(shape) > MOST_SIDES:
        raise HeaderError(f"{shown} has no shape of at most {MOST_SIDES} whole numbers")
    if not _counts(place) or len(place) != 2 or not place[0] <= place[1] <= room:
        raise HeaderError(f"{shown} lies outside the file, which may be cut off")
    if math.prod(shape) * bits != 8 * (place[1] - place[0]):
        raise HeaderError(
            f"{shown} of shape {shape} and dtype {entry['dtype']} has {place[1] - place[0]} bytes"
        )
    return place[0], place[1]


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 2**63 for one in value)
