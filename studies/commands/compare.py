"""Two or more studies side by side: what differs, who won, and whether the difference is more than noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.intervals import by_owner
from evaluation.scorecard import METRICS
from search.budget import time_spent
from search.objective import DIRECTIONS
from search.small_samples import standard_error
from studies.errors import StudyError
from studies.report.findings import NOTICEABLE
from studies.spec.sections import EYES
from studies.study.open import Glance, read_selection

_JUDGED = ("judge", "split")
_CONFIRMED = ("timesteps", "prompt_count", "seeds_per_prompt", "outside_prompt_count")
_SHOWN = (
    "resolution",
    "enable_bucket",
    "min_bucket_reso",
    "max_bucket_reso",
    "bucket_reso_steps",
    "bucket_no_upscale",
    "max_token_length",
    "weighted_captions",
)
"""Fields of [plan.data] that change what held-out images look like or what is read of their captions."""
_PER_PROMPT = "{}_by_prompt"


@dataclass(frozen=True, slots=True)
class Side:
    """A study, as far as it is compared."""

    name: str
    table: Mapping[str, Any]
    """The study file with defaults, by dotted name."""
    fingerprints: Mapping[str, str]
    """Of its data set and base model."""
    seed: int | None
    verdict: Mapping[str, Any] | None
    used: Mapping[str, float]


def side(study: Glance, name: str) -> Side:
    """Reads what a workspace holds."""
    recall, time = study.memory.recall, time_spent(study.memory)
    records = study.memory.records()
    return Side(
        name,
        flat(study.spec.model_dump(mode="json")),
        recall("fingerprints") or {},
        recall("seed"),
        read_selection(study.workspace),
        {
            "trials": sum(record.state != "waiting" for record in records),
            "images": sum(record.images_trained for record in records),
            "seconds": time.seconds,
            "device_seconds": time.device_seconds,
        },
    )


def compare(sides: Sequence[Side]) -> dict[str, Any]:
    """Everything, as JSON values (pure).

    Raises:
        StudyError: fewer than two studies.
    """
    if len(sides) < 2:
        raise StudyError("Give at least two workspaces to compare.")
    reasons = [*_reasons(sides)]
    tested = [one for one in sides if one.verdict is not None and one.verdict["test"]]
    pairs = []
    if not reasons and len(tested) > 1:
        leader = min(tested, key=lambda one: float(_test(one)["validation"]["mean"]))
        pairs = [_pair(leader, one) for one in tested if one is not leader]
    return {
        "studies": [_plain(one) for one in sides],
        "differences": differences(sides),
        "comparable": not reasons,
        "reasons": reasons,
        "pairs": pairs,
    }


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested table by dotted names; a search parameter's range stays whole."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and not prefix.startswith("search.space"):
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found


def differences(sides: Sequence[Side]) -> dict[str, list[Any]]:
    """The settings that are not the same everywhere, one value a study; None where one has none."""
    names = dict.fromkeys(name for one in sides for name in one.table)
    found = {name: [one.table.get(name) for one in sides] for name in names if name != "study.name"}
    return {name: values for name, values in found.items() if any(value != values[0] for value in values)}


def _reasons(sides: Sequence[Side]) -> Iterator[str]:
    """Why figures of these studies must not be compared."""
    for what in ("data set", "base model", *EYES.values()):
        if len({one.fingerprints[what] for one in sides if what in one.fingerprints}) > 1:
            yield f"the {what} is not the same"
    wanted = [f"confirm.{name}" for name in _CONFIRMED] + [f"plan.data.{name}" for name in _SHOWN]
    changed = [name for name in differences(sides) if name in wanted or name.partition(".")[0] in _JUDGED]
    known = {
        f"judge.{field}" for field, what in EYES.items() if all(what in one.fingerprints for one in sides)
    }
    changed = [name for name in changed if name not in known]
    if changed:
        yield f"judged differently: {', '.join(changed)}"


def _pair(leader: Side, other: Side) -> dict[str, Any]:
    same_images = leader.seed == other.seed
    metrics = {
        name: found
        for name in METRICS
        if (found := _lead(name, _test(leader), _test(other), same_images)) is not None
    }
    return {"leader": leader.name, "other": other.name, "same_test_images": same_images, "metrics": metrics}


def _lead(
    name: str, first: Mapping[str, Any], second: Mapping[str, Any], same_images: bool
) -> dict[str, Any] | None:
    """By how much the first is better, with the error of the difference.

    Cell by cell where both were measured on the same images and seeds, which cancels what they share; else the
    errors add up.
    """
    if not first.get(name) or not second.get(name):
        return None
    sign = DIRECTIONS[name]
    ahead = sign * (first[name]["mean"] - second[name]["mean"]) + 0.0
    key = "validation_by_image" if name == "validation" else _PER_PROMPT.format(name)
    cells, theirs = first.get(key) or (), second.get(key) or ()
    prompts = first.get("prompt_of_render") or () if name != "validation" else ()
    if same_images and len(cells) == len(theirs) > 1:
        leads = [a - b for a, b in zip(cells, theirs, strict=True)]
        error = standard_error(by_owner(leads, prompts) if len(prompts) == len(leads) else leads)
    else:
        errors = [scores[name]["standard_error"] for scores in (first, second)]
        error = math.inf if None in errors else math.hypot(*errors)
    known = math.isfinite(error)
    return {
        "better_by": ahead,
        "standard_error": error if known else None,
        "beyond_noise": known and abs(ahead) > NOTICEABLE * error,
    }


def _test(one: Side) -> Mapping[str, Any]:
    assert one.verdict is not None
    found: Mapping[str, Any] = one.verdict["test"]
    return found


def _plain(one: Side) -> dict[str, Any]:
    winner = None
    if one.verdict is not None:
        chosen = one.verdict["winner"]
        winner = {key: chosen[key] for key in ("trial", "epoch", "images_seen", "params", "file")}
    test = one.verdict["test"] if one.verdict is not None else None
    return {
        "study": one.name,
        "seed": one.seed,
        "used": dict(one.used),
        "winner": winner,
        "test": {name: test[name] for name in METRICS if test.get(name)} if test else None,
    }
