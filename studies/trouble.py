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


@contextmanager
def in_sentences() -> Iterator[None]:
    """Turns the errors of all packages that a user can mend into a ``StudyError``."""
    try:
        yield
    except (BaseModelError, EncoderError, StorageError, NothingToSelect) as error:
        raise StudyError(str(error)) from error
    except (SpaceError, DataError) as error:
        raise StudyError(error.problems) from error
    except OSError as error:
        raise StudyError(f"{error.filename}: {error.strerror}." if error.filename else str(error)) from error
