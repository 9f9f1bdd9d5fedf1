"""Trouble that a user can mend: sentences, never tracebacks."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

LONGEST = 120
"""Letters of a quoted value."""


class StudyError(Exception):
    """What is wrong with a study, its files or its command; each of ``problems`` is a sentence."""

    def __init__(self, problems: str | Iterable[str]) -> None:
        found = [problems] if isinstance(problems, str) else problems
        self.problems = [f"{text}." if text[-1:].isalnum() else text for text in found]
        super().__init__("\n".join(self.problems))


def shown(value: object) -> str:
    """A value as errors quote it."""
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def quiet_imports() -> None:
    """Silences what libraries log while they are imported; loads none of them."""
    for name in ("bitsandbytes", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)


def quiet() -> None:
    """Silences warnings, advice and progress bars of the libraries that train and render."""
    warnings.filterwarnings("ignore")
    quiet_imports()
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()


TOO_LITTLE_MEMORY = (
    "Memory ran out though only one trial was left in it and the judge took one picture at a time: lower "
    "data.resolution, data.batch_size or lora.rank, or set compute.gradient_checkpointing = true, compute.offload = "
    "'all' or compute.base_format = 'nf4' (`lorasearch plan --card` says what fits); what was finished is kept, and "
    "the same command goes on from there."
)


@contextmanager
def in_sentences() -> Iterator[None]:
    """Turns the errors of all packages that a user can mend into a ``StudyError``.

    Who only raises a ``StudyError`` need not load what trains and judges: hence the late imports.
    """
    from evaluation.encoders import EncoderError
    from search.selection import NothingToSelect
    from search.space import SpaceError
    from search.storage import StorageError
    from trainer.bases.base_model import BaseModelError
    from trainer.data.images import DataError

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
        from trainer.outcome import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        raise StudyError(sentence) from error
