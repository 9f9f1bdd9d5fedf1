"""Puts a range of learning rates into a study file on disk."""

from __future__ import annotations

from pathlib import Path

from studies import spec
from studies.probing import Range
from studies.problems import StudyError
from studies.rate_line import line, with_range
from trainer.files import write_whole


def rewrite(path: Path, found: Range) -> None:
    """Writes the file whole, or leaves it as it is.

    Raises:
        StudyError: the line cannot be edited safely; it is told for pasting.
    """
    by_hand = f"put this line under [search.space] by hand: {line(found)}"
    try:
        raw = path.read_bytes()
        marked = raw.startswith(b"\xef\xbb\xbf")
        edited = with_range(raw.decode("utf-8-sig"), found)
        if edited is None:
            raise StudyError(f"{path}: its range of learning rates cannot be edited safely; {by_hand}")
        try:
            spec.parse(edited, path.parent.resolve(), str(path))
        except StudyError as error:
            raise StudyError([f"{path}: nothing was written; {by_hand}", *error.problems]) from error
        write_whole(path.resolve(), (b"\xef\xbb\xbf" if marked else b"") + edited.encode())
    except OSError as error:
        raise StudyError(f"{path}: the file cannot be written ({error.strerror}); {by_hand}") from error
