"""Base models by hub name: the local cache first, then the network, unless that is forbidden."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from trainer.bases.errors import BaseModelError

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_FULL, _HALF = ("*.fp16.safetensors", "*non_ema*"), ("*non_ema*",)


def is_name(path: Path) -> bool:
    """Whether a path that is not on this disk reads as ``organisation/model``."""
    return _NAME.fullmatch(path.as_posix()) is not None and path.suffix not in _FILES


def fetch(name: str, parts: tuple[str, ...], complete: Callable[[Path], bool]) -> Path:
    """The folder of a hub model.

    Args:
        name: ``organisation/model``.
        parts: sub-folders that are wanted.
        complete: whether a folder holds all that is needed.

    Raises:
        BaseModelError: it is not in the cache and cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    try:
        cached = Path(snapshot_download(name, local_files_only=True))
        if complete(cached):
            return cached
    except (OSError, ValueError):
        pass
    wanted = ["model_index.json"] + [f"{part}/*{end}" for part in parts for end in _ENDS]
    try:
        for ignored in (_FULL, _HALF):
            folder = Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=list(ignored)))
            if complete(folder):
                return folder
    except (OSError, ValueError) as error:
        raise BaseModelError(
            f"{name}: this is no file or folder here, it is not in the hub cache, and it cannot be fetched "
            f"({type(error).__name__}); give the path of a diffusers folder or of a .safetensors file, "
            "or fetch it once where there is a network and HF_HUB_OFFLINE is not set."
        ) from error
    return folder


_ENDS = (".json", ".jinja", ".txt", ".safetensors")
