"""The page for people: one HTML file that needs no network."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from evaluation.scorecard import METRICS
from search.objective import DIRECTIONS
from search.trial import TrialRecord
from studies.report import (
    checkpoint_table,
    diagnosis,
    explanation,
    findings,
    plots,
    range_ends,
    trial_plots,
    usage,
)
from studies.report.image_grids import Evidence
from studies.report.plot_style import Figure
from studies.report.provenance import measured, time_shares, versions
from studies.selection.checkpoint import BARRED, facts
from studies.study.study import Study
from studies.text import format
from studies.text.format import estimate, signed, value
from studies.text.i18n import ENGLISH, Translator
from trainer.files import write_whole
from trainer.lora_files import file

MOST_ROWS = 200
"""Checkpoints in the page's table; the CSV file has all of them."""


def write(study: Study, verdict: Mapping[str, Any], say: Translator = ENGLISH) -> Path:
    """Writes ``report.html`` and ``checkpoints.csv``, each whole or not at all.

    Args:
        study: opened.
        verdict: the content of selection.json; of an unfinished study a provisional one.
        say: the page's language.

    Returns:
        The page's path.
    """
    page = _Page(study, verdict, study.memory.records(), say)
    workspace = study.workspace
    write_whole(workspace.checkpoints, checkpoint_table.csv(page.records, list(study.spec.search.space)))
    write_whole(workspace.report, render(page.content(), say).encode())
    return workspace.report


def environment(say: Translator = ENGLISH) -> jinja2.Environment:
    """How the page is rendered: everything is escaped but its own sentences, whose values are."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("studies.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "estimate": estimate,
        "signed": signed,
        "value": value,
        "plain": format.figure,
    }
    found.globals |= {
        "_": lambda text, **values: Markup(say.pattern(text)).format(**values),
        "language": {"en": "en", "zh": "zh-CN"}[say.language],
    }
    return found


def render(content: Mapping[str, Any], say: Translator = ENGLISH) -> str:
    """The page from its content; plotly's own script is the only thing that is taken as it is."""
    from plotly.offline import get_plotlyjs

    template = environment(say).get_template("report.html.j2")
    return template.render(**content, plotly=Markup(get_plotlyjs()))


@dataclass(frozen=True)
class _Page:
    """What the page says, section by section."""

    study: Study
    verdict: Mapping[str, Any]
    records: Sequence[TrialRecord]
    say: Translator

    @cached_property
    def winner(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.verdict["winner"]
        return found

    @cached_property
    def champion(self) -> TrialRecord:
        return next(record for record in self.records if record.number == self.winner["trial"])

    def content(self) -> dict[str, Any]:
        say, confirmation = self.say, self.verdict["confirmation"]
        finalists = self._finalists()
        return {
            "name": self.study.spec.study.name,
            "winner": self.winner,
            "final": confirmation is not None,
            "confirmation": confirmation,
            "rivals": confirmation is not None and not confirmation["separable"],
            "reason": self._reason(),
            "barred": self._barred_words(),
            "counts": self._counts(),
            "usage": self._usage(),
            "test_images": len(self.study.dataset.split.test),
            "tested_before": findings.earlier_tests(self.verdict, say),
            "recipes": self._recipes(),
            "finalists": finalists,
            "ruling": findings.ruling(self.verdict["shares_of_variance"], say),
            "rule": self._rule(),
            "diagnoses": self._diagnoses(),
            "headline": diagnosis.headline([diagnosis.diagnose(r) for r in self.records], say),
            "advice": range_ends.ends_hit(
                self.records, self.study.spec.space.parameters, self.study.memory.importances(), say
            ),
            "csv_name": self.study.workspace.checkpoints.name,
            "measured": measured(self.study, self.verdict["spreads"], say),
            "versions": versions(),
            "time": time_shares(self.study.memory.recall("seconds_last_run"), say),
            **self._findings(),
            **self._table(),
            **self._pictures(finalists),
            **self._plots(),
        }

    def _reason(self) -> str:
        if self.say.language == "en":
            return str(self.winner["reason"])
        return explanation.choice(
            self.verdict, self.study.spec.guards, self.study.spec.confirm.preference, self.say
        )

    def _rule(self) -> str:
        spec = self.study.spec
        if self.say.language == "en":
            return str(self.verdict["rule"])
        return explanation.rule(spec.objective, spec.guards, spec.confirm.preference, self.say)

    def _pictures(self, finalists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        shown = Evidence(self.study, self.champion)
        card = next(c for c in self.champion.cards if c["epoch"] == self.winner["epoch"])
        return {
            "grid": shown.grid(),
            "beside": shown.side_by_side(finalists),
            "pairs": shown.pairs(card),
        }

    def _plots(self) -> dict[str, Any]:
        drawn = plots.draw(self.study.spec, self.study.memory, self.verdict, self.records, self.say)
        return {
            "plots": {name: _json(figure) for name, figure in drawn.items()},
            "slices": [name for name in drawn if name.startswith("slice-")],
            "posts": len(self.study.spec.space.parameters) + 1,
        }

    def _counts(self) -> str:
        states = Counter(record.state for record in self.records)
        parts = [
            self.say("{count} {what}", count=count, what=self.say(trial_plots.STATES[state]))
            for state, count in states.most_common()
        ]
        return self.say(", ").join(parts)

    def _usage(self) -> dict[str, Any]:
        workspace = self.study.workspace
        final = self.verdict["confirmation"] is not None and workspace.best.exists()
        path = workspace.best if final else workspace.root / self.winner["file"]
        metadata = file.read_metadata(path) if path.exists() else {}
        return {
            "path": str(path.resolve()),
            "exists": path.exists(),
            "base": str(self.study.spec.plan["base"]["path"]),
            "word": usage.trigger_word(metadata),
            "advice": usage.advice(metadata, self.say),
            "export": f"lorasearch export {workspace.root} ~/webui/models/Lora",
        }

    def _findings(self) -> dict[str, Any]:
        split = self.study.dataset.split
        if self.verdict["test"]:
            found = findings.findings(self.verdict["test"], len(split.test), "test", self.say)
        else:
            found = findings.findings(self.winner["scores"], len(split.validation), "validation", self.say)
        return {"findings": found, "doubtful": not any(finding.tone == "good" for finding in found)}

    def _recipes(self) -> dict[str, Any] | None:
        """How the study file's own recipes fared, which the search had to beat."""
        count = len(self.study.spec.first)
        tried = [(max(p.objective for p in r.curve), r) for r in self.records[:count] if r.curve]
        if not tried:
            return None
        objective, record = max(tried, key=lambda pair: pair[0])
        return {
            "count": count,
            "best": record.number,
            "objective": objective,
            "winner_objective": max(p.objective for p in self.champion.curve),
            "won": self.champion.number < count,
        }

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
                "barred": self._barred(f),
            }
            for f in found
        ]

    def _barred(self, finalist: Mapping[str, Any]) -> str | None:
        reason = self.study.spec.guards.barred(facts(finalist))
        return finalist.get("barred") if reason is None else explanation.sentence(reason, self.say)

    def _barred_words(self) -> dict[str, int]:
        everyone = self.verdict["candidates"]
        return {"count": sum(c.get("barred") is not None for c in everyone), "all": len(everyone)}

    def _diagnoses(self) -> list[dict[str, Any]]:
        """Every trial that has begun: what it suffers from, and what to do."""
        return [self._diagnosis(record) for record in self.records if record.state != "waiting"]

    def _diagnosis(self, record: TrialRecord) -> dict[str, Any]:
        say, found = self.say, diagnosis.diagnose(record)
        scored = [card for card in record.cards if card["objective"] is not None]
        best = max(scored, key=lambda card: float(card["objective"]), default=None)
        return {
            "trial": record.number,
            "state": say(trial_plots.STATES[record.state]),
            "condition": found.condition if found else "",
            "name": say(diagnosis.CONDITIONS[found.condition]) if found else "–",
            "sentence": found.told(say) if found else "",
            "remedy": say(found.remedy) if found and found.remedy else "",
            "reason": self._end(record) if found is None or found.condition not in diagnosis.STOPPED else "",
            "best": best,
        }

    def _end(self, record: TrialRecord) -> str:
        """Why a trial ended, where something is recorded."""
        reason, say = record.reason, self.say
        if reason is None:
            return ""
        if reason.code == BARRED:
            guard = explanation.sentence(explanation.barring(reason), say)
            return say("A guard bars every checkpoint: {reason}.", reason=guard)
        return (explanation.clause if record.state == "finished" else explanation.sentence)(reason, say)

    def _table(self) -> dict[str, Any]:
        table = checkpoint_table.rows(self.records)
        kept = {(c["trial"], c["epoch"]): c for c in self.verdict["candidates"]}
        front = {(c["trial"], c["epoch"]) for c in self.verdict.get("pareto", ())}
        metrics = [name for name in METRICS[1:] if any(row[name] is not None for row in table)]
        first = next(iter(self.champion.cards))
        return {
            "checkpoint_count": len(table),
            "metrics": [
                {
                    "name": name,
                    "label": findings.metric(name, self.say),
                    "higher": DIRECTIONS[name] > 0,
                    "base": facts(first).base_values.get(name),
                }
                for name in metrics
            ],
            "table": [
                row
                | {
                    "objective": kept[key]["objective"]["mean"] if key in kept else row["objective"],
                    "barred": key in kept and kept[key].get("barred") is not None,
                    "front": key in front,
                    "was": self.say(trial_plots.STATES[row["state"]]),
                }
                for row in table[:MOST_ROWS]
                for key in [(row["trial"], row["epoch"])]
            ],
        }


def _json(figure: Figure) -> Markup:
    """A figure as JSON that cannot end the script element that it stands in."""
    text = json.dumps(json.loads(figure.to_json()), separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
