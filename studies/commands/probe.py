"""Trains the learning-rate probe of a study and writes its rate into the study file."""

from __future__ import annotations

import math
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from studies.errors import StudyError, memory_told
from studies.report.explanation import sentence
from studies.spec import study_file, toml
from studies.spec.planner import Planner
from studies.study.probe import FIELD, ProbeCourse, ProbeResult, Range, probed_plan
from trainer.files import write_whole
from trainer.training import probe, session
from trainer.training.probe import Probe

WIDTH = 56
"""Characters of a chart's line."""


_BLOCKS = "▁▂▃▄▅▆▇█"


OUT_OF_MEMORY = (
    "Memory ran out: lower the rank, batch size or resolution of the probed plan, or set "
    "compute.gradient_checkpointing = true."
)


def run_probe(planner: Planner, steps: int, on_step: Callable[[int, int, float], None]) -> Probe:
    """Loads the base model and follows the probe; what is written goes into a temporary folder.

    Args:
        planner: of the study.
        steps: most optimiser steps.
        on_step: is told the repetition, its steps and its rate.

    Raises:
        StudyError: memory ran out.
    """
    plan, repetitions = probed_plan(planner), planner.spec.probe.repetitions
    with tempfile.TemporaryDirectory() as folder, memory_told(OUT_OF_MEMORY):
        pack = session.open(plan, planner.dataset, Path(folder), repetitions)
        return probe.follow(pack, plan, repetitions, steps, on_step)


def rule() -> str:
    """When a rate counts as flat, and what follows from it, in words."""
    return (
        f"a rate is flat once it has grown by at most {probe.GROWTH:.0%} over {probe.PATIENCE} optimiser steps "
        f"and is at least {probe.DEPARTURE:g} times its first value; the learning rate is the geometric mean of the "
        f"plateaus divided by {probe.MARGIN:g}, since against grids the plateau lay 2 to 6 times above the best rate"
    )


def in_words(result: ProbeResult) -> dict[str, Any]:
    """The probe as JSON values, each course's trouble in words."""
    found = result.model_dump(mode="json")
    troubles = [sentence(course.trouble) if course.trouble else None for course in result.courses]
    courses = zip(found.pop("courses"), troubles, strict=True)
    return {**found, "courses": [{**course, "trouble": trouble} for course, trouble in courses]}


def advice(result: ProbeResult, steps: int) -> str:
    """What to do where no plateau was found."""
    if any(course.trouble for course in result.courses):
        return (
            "A repetition ended early; look at the images, or lower optimiser.max_grad_norm, and probe again."
        )
    return (
        f"Not flat yet after {steps} steps: the estimate still grows, so the last rate is a lower bound at best. "
        f"Probe longer with --steps {2 * steps} (in a study file: [probe] steps = {2 * steps})."
    )


def spark(rates: Sequence[float], lowest: float, highest: float, width: int = WIDTH) -> str:
    """Rates as one line of blocks on a log scale.

    Args:
        rates: one after each step; longer lines are thinned to ``width``, the last rate always shown.
        lowest: what the smallest block stands for.
        highest: what the largest one stands for.
        width: most characters.
    """
    count = min(width, len(rates))
    shown = [rates[(i + 1) * len(rates) // count - 1] for i in range(count)]
    across = math.log(highest / lowest) if highest > lowest else 1.0
    places = [math.log(max(rate, lowest) / lowest) / across for rate in shown]
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, int(place * len(_BLOCKS)))] for place in places)


def chart(courses: Sequence[ProbeCourse]) -> list[str]:
    """The history of every repetition, a line each."""
    every = [rate for course in courses for rate in course.rates if rate > 0]
    if not every:
        return ["  no step was taken"]
    lowest, highest = min(every), max(every)
    longest = max(len(course.rates) for course in courses)
    lines = [f"d * lr over {longest} optimiser steps, on a log scale from {lowest:.2g} to {highest:.2g}:"]
    for number, course in enumerate(courses, start=1):
        width = max(1, round(WIDTH * len(course.rates) / longest))
        line = spark(course.rates, lowest, highest, width) if course.rates else ""
        lines.append(f"  {number}  {line:<{WIDTH}}  {_end(course)}")
    return lines


def _end(course: ProbeCourse) -> str:
    if course.trouble:
        return f"ended early: {sentence(course.trouble)}"
    if not course.rates:
        return "no step was taken"
    state = f"flat at step {course.step}" if course.flat else f"not flat after {course.step} steps"
    return f"{course.rate:.3g}, {state}"


def line(found: Range) -> str:
    """The range as a line under [search.space]."""
    return f'"{FIELD}" = {{ low = {found[0]:g}, high = {found[1]:g}, log = true }}'


def with_range(text: str, found: Range) -> str | None:
    """The text with the range in place of its own, or added; None where that cannot be done safely.

    Safely means: read as TOML, the text differs by that range alone. Comments and spelling stay.
    """
    try:
        document: Any = tomlkit.parse(text)
        space = document["search"]["space"]
        if FIELD in space:
            space[FIELD]["low"], space[FIELD]["high"] = found
            edited = tomlkit.dumps(document)
        else:
            edited = _with_line(text, line(found))
    except (TOMLKitError, KeyError, TypeError, AttributeError):
        return None
    return edited if _differs_by_the_range(text, edited, found) else None


def _with_line(text: str, added: str) -> str:
    """The text with a line under its header [search.space].

    Raises:
        KeyError: it has no such header.
    """
    lines, place = text.splitlines(keepends=True), toml.lines(text)["search", "space"]
    before, after = "".join(lines[:place]), "".join(lines[place:])
    ending = "\r\n" if before.endswith("\r\n") else "\n"
    if not before.endswith(ending):
        before += ending
    return f"{before}{added}{ending}{after}"


def _differs_by_the_range(before: str, after: str, found: Range) -> bool:
    try:
        expected, now = tomllib.loads(before), tomllib.loads(after)
        entry = expected["search"]["space"].setdefault(FIELD, {"log": True})
        if "choices" in entry:
            return False
        entry.update(low=found[0], high=found[1])
    except (tomllib.TOMLDecodeError, KeyError, AttributeError, TypeError):
        return False
    return now == expected


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
            study_file.parse(edited, path.parent.resolve(), str(path))
        except StudyError as error:
            raise StudyError([f"{path}: nothing was written; {by_hand}", *error.problems]) from error
        write_whole(path.resolve(), (b"\xef\xbb\xbf" if marked else b"") + edited.encode())
    except OSError as error:
        raise StudyError(f"{path}: the file cannot be written ({error.strerror}); {by_hand}") from error
