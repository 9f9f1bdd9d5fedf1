"""The page for people: one HTML file that needs no network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from search.trial import TrialRecord
from studies import checkpoints, figures, pictures, usage, words
from studies.cards import facts
from studies.study import Study
from trainer.data import images
from trainer.data.buckets import fit
from trainer.data.images import DataError
from trainer.files import write_whole

MOST_ROWS = 200
"""Checkpoints in the page's table; the CSV file has all of them."""
_PACKAGES = ("lorasearch", "torch", "diffusers", "transformers", "peft", "optuna")


def write(study: Study, verdict: Mapping[str, Any]) -> Path:
    """Writes ``report.html`` and ``checkpoints.csv``, each whole or not at all.

    Args:
        study: opened.
        verdict: the content of selection.json; of an unfinished study a provisional one.

    Returns:
        The page's path.
    """
    page = _Page(study, verdict, study.memory.records())
    workspace = study.workspace
    write_whole(workspace.checkpoints, checkpoints.csv(page.records, list(study.spec.search.space)))
    write_whole(workspace.report, render(page.content()).encode())
    return workspace.report


def render(content: Mapping[str, Any]) -> str:
    """The page from its content; everything is escaped but plotly's own script."""
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("studies"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"estimate": words.estimate, "signed": words.signed, "value": words.value}
    return environment.get_template("report.html.j2").render(**content, plotly=Markup(get_plotlyjs()))


FURTHER = ("diversity", "memorisation", "flexibility")
"""Metrics that stand in the tables where they were measured."""


@dataclass(frozen=True)
class _Page:
    """What the page says, section by section."""

    study: Study
    verdict: Mapping[str, Any]
    records: Sequence[TrialRecord]

    @cached_property
    def winner(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.verdict["winner"]
        return found

    @cached_property
    def champion(self) -> TrialRecord:
        return next(record for record in self.records if record.number == self.winner["trial"])

    def content(self) -> dict[str, Any]:
        table = checkpoints.rows(self.records)
        plots, findings = self._plots(), self._findings()
        return {
            "name": self.study.spec.study.name,
            "winner": self.winner,
            "final": self.verdict["confirmation"] is not None,
            "rivals": self.verdict["confirmation"] is not None
            and not self.verdict["confirmation"]["separable"],
            "counts": self._counts(),
            "checkpoint_count": len(table),
            "usage": self._usage(),
            "findings": findings,
            "doubtful": not any(finding.tone == "good" for finding in findings),
            "test_images": len(self.study.dataset.split.test),
            "recipes": self._recipes(),
            "grid": self._grid(),
            "finalists": self._finalists(),
            "confirmation": self.verdict["confirmation"],
            "ruling": words.ruling(self.verdict["shares_of_variance"]),
            "rule": self.verdict["rule"],
            "lost": [record for record in self.records if record.state in ("infeasible", "failed")],
            "table": table[:MOST_ROWS],
            "has_clip": any(row["clip_image"] is not None for row in table),
            "further": [name for name in FURTHER if any(row[name] is not None for row in table)],
            "csv_name": self.study.workspace.checkpoints.name,
            "measured": self._measured(),
            "versions": _versions(),
            "time": self._time(),
            "plots": {name: _json(figure) for name, figure in plots.items() if figure is not None},
            "slices": [name for name in plots if name.startswith("slice-") and plots[name] is not None],
        }

    def _plots(self) -> dict[str, figures.Figure | None]:
        winner, champion = self.winner, self.champion
        clip = facts(champion.cards[0]).clip_image is not None
        shares = self.study.memory.importances()
        parameters = self.study.spec.space.parameters
        return {
            "curves": figures.curves(self.records, winner),
            "gap": figures.training_gap(champion, winner),
            "clip": figures.curves(self.records, winner, "clip_image") if clip else None,
            "timesteps": figures.timesteps(self._finest()["validation_by_timestep"]),
            "importance": figures.importance(shares) if shares else None,
        } | {
            f"slice-{i}": figures.slices(self.records, name, parameter, champion.number)
            for i, (name, parameter) in enumerate(parameters.items())
        }

    def _finest(self) -> Mapping[str, Any]:
        """The winner's card with the most timesteps: that of the confirmation, if there was one."""
        return next((f["scores"] for f in self._finalists() if f["won"]), self.winner["scores"])

    def _counts(self) -> str:
        states = Counter(record.state for record in self.records)
        return ", ".join(f"{count} {state}" for state, count in states.most_common())

    def _usage(self) -> dict[str, Any]:
        workspace = self.study.workspace
        final = self.verdict["confirmation"] is not None and workspace.best.exists()
        path = workspace.best if final else workspace.root / self.winner["file"]
        metadata = usage.metadata(path) if path.exists() else {}
        return {
            "path": str(path.resolve()),
            "exists": path.exists(),
            "base": str(self.study.spec.plan["base"]["path"]),
            "word": usage.trigger_word(metadata),
            "advice": usage.advice(metadata),
            "export": f"lorasearch export {workspace.root} ~/webui/models/Lora",
        }

    def _findings(self) -> list[words.Finding]:
        split = self.study.dataset.split
        if self.verdict["test"]:
            return words.findings(self.verdict["test"], len(split.test), "test")
        return words.findings(self.winner["scores"], len(split.validation), "validation")

    def _recipes(self) -> dict[str, Any] | None:
        """How the study file's own recipes fared, which the search had to beat."""
        count = len(self.study.spec.first)
        tried = [(max(p.objective for p in r.curve), r) for r in self.records[:count] if r.curve]
        if not tried:
            return None
        objective, record = max(tried, key=lambda pair: pair[0])
        highest = max(p.objective for p in self.champion.curve)
        return {
            "count": count,
            "best": record.number,
            "objective": objective,
            "winner_objective": highest,
            "won": self.champion.number < count,
        }

    def _grid(self) -> dict[str, Any]:
        study, workspace = self.study, self.study.workspace
        split, examples, judge = study.dataset.split, study.dataset.examples, study.spec.judge
        held_out = split.validation[: judge.prompt_count]
        prompts = list(judge.prompts) or [examples[i].caption for i in held_out]
        prompts *= judge.seeds_per_prompt
        rows = [
            {
                "card": card,
                "tiles": pictures.tiles(workspace.renders(self.champion.number, card["epoch"]), len(prompts)),
            }
            for card in self.champion.cards
        ]
        return {
            "prompts": prompts,
            "base": pictures.tiles(workspace.base_renders, len(prompts)),
            "rows": [row for row in rows if row["tiles"]],
            "originals": (
                [] if judge.prompts else [self._original(i) for i in held_out * judge.seeds_per_prompt]
            ),
        }

    def _original(self, index: int) -> str | None:
        """A held-out image as the model would see it; None if it has moved away."""
        dataset = self.study.dataset
        try:
            picture = images.open_rgb(dataset.examples[index].path)
        except DataError:
            return None
        return pictures.data_uri(fit(picture, dataset.sizes[index]))

    def _finalists(self) -> list[dict[str, Any]]:
        confirmation = self.verdict["confirmation"]
        if confirmation is None:
            return []
        found = sorted(confirmation["finalists"], key=lambda f: -f["objective"]["mean"])
        chosen = (self.winner["trial"], self.winner["epoch"])
        return [
            f
            | {
                "won": (f["trial"], f["epoch"]) == chosen,
                "close": f["close"] and not confirmation["separable"],
            }
            for f in found
        ]

    def _measured(self) -> list[tuple[str, str]]:
        spec, split = self.study.spec, self.study.dataset.split
        judge, confirm, pruner = spec.judge, spec.confirm, spec.pruner
        return [
            ("Seed", str(self.study.seed)),
            ("Base model", str(spec.plan["base"]["path"])),
            (
                "Images",
                f"{len(split.train)} to train, {len(split.validation)} to validate, {len(split.test)} to test; "
                "near-duplicates are on one side",
            ),
            (
                "Validation",
                f"{judge.timesteps} timesteps an image with fixed noise; the mean of log(loss / base loss)",
            ),
            (
                "Pictures",
                f"{judge.steps} steps, guidance {judge.guidance:g}, the same prompts and seeds for all",
            ),
            ("CLIP", judge.clip or "not used"),
            ("Image encoder", judge.image_encoder or "CLIP's"),
            (
                "Search",
                f"{spec.search.sampler} sampler, {pruner.name} pruner (first look at {pruner.min_images} images), "
                f"at most {spec.budget.images_per_trial} images a trial",
            ),
            (
                "Confirmation",
                f"{confirm.finalists} finalists, {confirm.timesteps} timesteps an image, "
                f"{confirm.seeds_per_prompt} fresh seeds a prompt",
            ),
            (
                "Noise of one measurement",
                ", ".join(f"{words.METRICS.get(k, k)} {v:.2g}" for k, v in self.verdict["spreads"].items()),
            ),
        ]

    def _time(self) -> list[tuple[str, str, float]]:
        """What the last run's time went to: label, duration, share of the whole."""
        seconds = self.study.memory.recall("seconds_last_run")
        if not seconds or not seconds.get("wall"):
            return []
        wall = seconds["wall"]
        known = {name: value for name, value in seconds.items() if name != "wall"}
        parts = known | {"loading and writing": max(0.0, wall - sum(known.values()))}
        return [(name, words.duration(value), value / wall) for name, value in parts.items()]


def _versions() -> str:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _json(figure: figures.Figure) -> Markup:
    """A figure as JSON that cannot end the script element that it stands in."""
    text = json.dumps(json.loads(figure.to_json()), separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
