"""What SDXL's network computes otherwise than SD 1.x."""

from __future__ import annotations

from trainer.bases.text import penultimate_states
from trainer.bases.unets import functions

FUNCTIONS = functions(penultimate_states)
