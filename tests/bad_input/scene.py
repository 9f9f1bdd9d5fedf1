"""A sound study on disk, and ways to spoil it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.studies.conftest import ASSETS, write_study

_AHEAD = shutil.ignore_patterns("*-wal", "*-shm")
Words = Sequence[object]
"""A command line without ``lorasearch``."""


@dataclass(frozen=True)
class Scene:
    """One test's own folder, which is the working folder, too."""

    root: Path
    finished: Path
    """The workspace of a finished study; copy it before anything could change it."""

    @property
    def images(self) -> Path:
        return self.root / "images" / "2_fluent"

    @property
    def picture(self) -> Path:
        return sorted(self.images.glob("*.png"))[0]

    def study(self, old: str = "", new: str = "", more: str = "") -> Path:
        """The study file with a piece replaced, and text added at its end."""
        path = self.root / "small.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1) + more)
        return path

    def base(self) -> Path:
        """A copy of the micro Stable Diffusion, by hard links: unlink a file before it is written."""
        shutil.copytree(ASSETS / "micro-sd", self.root / "sd", copy_function=_linked)
        return self.root / "sd"

    def on_base(self, path: str | Path) -> Path:
        """The study on another base model."""
        return self.study(f"{ASSETS}/micro-sd", str(path))

    def write(self, name: str, content: bytes | str = b"") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def workspace(self) -> Path:
        """A finished study of this test's own."""
        return Path(shutil.copytree(self.finished, self.root / "finished", ignore=_AHEAD))

    def judge(self, *files: object) -> Words:
        """The command that judges LoRA files on the sound base and images."""
        data = self.images.parent
        return ["judge", *files, "--base", ASSETS / "micro-sd", "--data", data, "--resolution", 64]


@dataclass(frozen=True)
class Bad:
    """One kind of bad input."""

    name: str
    arrange: Callable[[Scene], Words]
    """Spoils the scene and gives the command."""
    says: tuple[str, ...]
    """What the sentence must name: file, field, value, remedy."""


def prepare(root: Path, finished: Path) -> Scene:
    """A sound study of twelve images in ``root``."""
    write_study(root)
    return Scene(root, finished)


def seen(root: Path) -> dict[str, str]:
    """Every entry below a folder with its content's hash, so that a change shows; not what SQLite needs to read."""
    found = {}
    for path in sorted(path for path in root.rglob("*") if not path.name.endswith(("-shm", "-wal"))):
        plain = path.is_file() and not path.is_symlink()
        found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest() if plain else ""
    return found


def tensor_file(header: Mapping[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A file in the form of safetensors with any header, true or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: Sequence[int], begin: int, end: int, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": list(shape), "data_offsets": [begin, end]}


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is huge."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _linked(source: str, target: str) -> None:
    os.link(os.path.realpath(source), target)
