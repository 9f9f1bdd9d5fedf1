"""A1111's old short hashes of models, as sd-scripts writes them beside SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from trainer.plans.base import BasePlan

COVERED = slice(0x100000, 0x110000)
"""The part of a file that the hash covers: 64 KiB from the first MiB on."""


def of(content: bytes) -> str:
    """Of that part of a file."""
    return hashlib.sha256(content).hexdigest()[:8]


def of_models(base: BasePlan) -> dict[str, object]:
    """``ss_sd_model_hash`` and ``ss_vae_hash``, where base model or transformer, and VAE, lie in one file each."""
    files: dict[str, Path | None] = {
        "ss_sd_model_hash": base.transformer or base.path,
        "ss_vae_hash": base.vae,
    }
    found: dict[str, object] = {}
    for key, path in files.items():
        if path is not None and path.is_file():
            with path.open("rb") as stream:
                stream.seek(COVERED.start)
                found[key] = of(stream.read(COVERED.stop - COVERED.start))
    return found
