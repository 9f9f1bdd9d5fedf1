"""Rebuilds the micro models and the demonstration set from nothing, in order; run it again to resume."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
STAGES = (
    "artwork.py",
    "vocabulary.py",
    "demonstration.py",
    "train_vae.py",
    "train_clip.py",
    "train_clip_text.py",
    "train_base.py",
    "train_flow.py",
    "samples.py",
    "measure.py",
)


def main() -> None:
    """Runs every stage; a finished training sees its checkpoint and only exports again."""
    for stage in STAGES:
        start = time.monotonic()
        print(f"--- {stage}", flush=True)
        subprocess.run([sys.executable, str(HERE / stage)], check=True)
        print(f"--- {stage} took {(time.monotonic() - start) / 60:.1f} min", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
