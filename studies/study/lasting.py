"""What of a study file must not change while the study lasts, since its trials could no longer be compared (pure).

Every field of [plan], [split] and [judge] is such, unless it says of itself that it may change; the other sections say
how much is searched, what counts, and what is written, and may change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

from pydantic import BaseModel

from studies.spec.study_file import StudySpec
from trainer.plans.fields import is_assigned, leaves, meaning

LASTING = ("split", "judge")
"""Sections beside [plan] of which nothing may change that does not say so."""
_SINCE = {"judge.subject": "style", "judge.trigger": "", "lora.alpha": None}
"""Fields that came later, as studies went before."""
FREE = (
    "study", "budget", "search", "first", "objective", "guards", "confirm", "pack", "save", "samples", "probe",
    "storage",
)  # fmt: skip
"""Sections that may change; the seed in [study] is compared for itself."""


def settings(spec: StudySpec) -> dict[str, Any]:
    """The lasting fields by dotted name, as JSON values; what is searched varies by trial and is left out."""
    return {name: value for name, value in _all(spec).items() if name not in spec.search.space}


def changes(before: Mapping[str, Any], spec: StudySpec) -> list[str]:
    """Every lasting field that has changed, a sentence each.

    Args:
        before: ``settings`` when the study began.
        spec: as it is now; a field that is searched since then still has the plan's value in trials of before.
    """
    now = _all(spec)
    began = {**_SINCE, **before} if before else before
    return [
        f"{name} was {_shown(value)} when this study began, but is {_now(name, now[name], spec)} now, so its trials "
        "could no longer be compared; restore it, or start a new study under another name."
        for name, value in began.items()
        if name in now and now[name] != value
    ]


def _all(spec: StudySpec) -> dict[str, Any]:
    plan = {name: value for name, value in _lasting(spec.shared_plan) if name != "seed"}
    sections = {
        f"{section}.{name}": value for section in LASTING for name, value in _lasting(getattr(spec, section))
    }
    return plan | sections


def _now(name: str, value: Any, spec: StudySpec) -> str:
    return "searched" if name in spec.search.space else _shown(value)


def _shown(value: Any) -> str:
    """A JSON value as a study file would write it."""
    if value is None:
        return "left out"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _lasting(section: BaseModel) -> Iterator[tuple[str, Any]]:
    values = section.model_dump(mode="json")
    for name, info in leaves(type(section)):
        if not is_assigned(info) and not meaning(info).may_change:
            yield name, reduce(lambda table, key: table[key], name.split("."), values)
