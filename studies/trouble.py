"""Turns what can go wrong in training and judging into sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from evaluation.encoders import EncoderError
from search.selection import NothingToSelect
from search.space import SpaceError
from search.storage import StorageError
from studies.problems import StudyError
from trainer.base_model import BaseModelError
from trainer.data.images import DataError
from trainer.outcome import is_out_of_memory

TOO_LITTLE_MEMORY = (
    "Memory ran out though only one trial was left in it: lower data.resolution, data.batch_size or lora.rank, set "
    "compute.gradient_checkpointing = true, or judge fewer pictures at a time (judge.max_rows); what was finished is "
    "kept, and the same command goes on from there."
)


@contextmanager
def in_sentences() -> Iterator[None]:
    """Turns the errors of all packages that a user can mend into a ``StudyError``."""
    try:
        with memory_told(TOO_LITTLE_MEMORY):
            yield
    except (BaseModelError, EncoderError, StorageError, NothingToSelect) as error:
        raise StudyError(str(error)) from error
    except (SpaceError, DataError) as error:
        raise StudyError(error.problems) from error
    except OSError as error:
        raise StudyError(f"{error.filename}: {error.strerror}." if error.filename else str(error)) from error


@contextmanager
def memory_told(sentence: str) -> Iterator[None]:
    """Says the sentence where memory runs out inside the block, the device's or the machine's."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise StudyError(sentence) from error
