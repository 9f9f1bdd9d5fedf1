"""Runs a study as `init` writes it, then shows every checkpoint to eyes that chose nothing, on captions it never saw.

Everything is kept in one folder a subject and made once: `workspace/` (the study), `truth/` (what the eyes saw).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tomlkit
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from benchmarks.truth_eyes import Eyes, Seen
from benchmarks.truth_subjects import Subject
from evaluation.rendering import RenderSettings, render
from evaluation.scorecard import ScoreCard
from evaluation.subject import Subject as Shown
from studies.commands import init
from studies.engines import units
from studies.engines.inline import open_worker
from studies.engines.judge_builder import JudgeBuilder
from studies.runner.preparation import probed
from studies.runner.progress import LineLog
from studies.runner.runner import Runner
from studies.spec.planner import Planner
from studies.study import beginning
from studies.study.exam import Exam
from studies.study.study import Study
from studies.study.trial import Checkpoint, read_trials
from trainer.files import write_whole
from trainer.plan import TrainingPlan
from trainer.seeds import derive
from trainer.training import session
from trainer.training.pack import Pack
from trainer.training.saving import load_lora

ASSETS = Path(__file__).resolve().parents[1] / "studies" / "library" / "assets"
MICRO = "micro-sd"
TRIALS, IMAGES_PER_TRIAL, PACK = 12, 780, 6
SEEDS = 2
"""Pictures of each caption that was kept back."""
SETTINGS = RenderSettings(steps=12, guidance=4.0, width=64, height=64)
MOST_ROWS = 64
REPLAYED = Exam("validation", 12, 8, 3, "replay", 6)
"""What rules are replayed on: more than a search measures, so that less can be drawn from it."""
BASE = (-1, 0)
"""Names the bare base model among checkpoints."""

Key = tuple[int, int]
"""Trial and epoch."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the eyes saw of one subject's checkpoints."""

    real: Seen
    """The pictures that were kept back, a row a caption."""
    seen: Mapping[Key, Seen]
    """Of each checkpoint, and of `BASE`: rows run over the captions, then over the seeds."""
    pictures: Mapping[Key, np.ndarray]
    """Shape (seeds, captions, height, width, 3), bytes."""


def finished(subject: Subject, folder: Path, base: str = MICRO, seed: int | None = None) -> Study:
    """The subject's study on a shipped base, run to its end; a finished one is only opened."""
    workspace = folder / subject.name / "workspace"
    if not (workspace / "selection.json").exists():
        run(begun(subject, folder, base, seed))
    return beginning.reopen(workspace)


def begun(subject: Subject, folder: Path, base: str = MICRO, seed: int | None = None) -> Study:
    """The subject's study on a shipped base, as `init` writes it, perhaps with another seed."""
    place = folder / subject.name
    path = place / "study.toml"
    if not path.exists():
        subject.write(place)
        _write_study(place, path, base, seed)
    return beginning.begin(path, place / "workspace")


def run(study: Study) -> dict[str, float]:
    """Runs a study, or goes on with it: seconds of this run by kind of work."""
    watch = LineLog(Console(quiet=True))
    worker = open_worker(study.spec, study.workspace, study.dataset, study.seed, watch.stepped)
    worker.limit_pack(int(study.spec.pack.size))
    Runner(probed(study, worker, watch), worker, watch).run()
    return dict(worker.seconds)


def _write_study(place: Path, path: Path, base: str, seed: int | None) -> None:
    """As `init` writes it, cut to what two cores do in minutes."""
    init.start(place / "images", str(ASSETS / base), str(ASSETS / "micro-clip"), path, None)
    table = tomlkit.parse(path.read_text())
    table["budget"].update({"trials": TRIALS, "images_per_trial": IMAGES_PER_TRIAL})
    table["pack"]["size"] = PACK
    if seed is not None:
        table["study"]["seed"] = seed
    path.write_text(tomlkit.dumps(table))


def usable(study: Study) -> list[Checkpoint]:
    """Every checkpoint that shows something."""
    return [one for t in read_trials(study.memory) for one in t.checkpoints if one.scores.unusable is None]


def told(subject: Subject, study: Study, folder: Path, only: Collection[Key] | None = None) -> Truth:
    """What the eyes see of all checkpoints, or of some; what was seen before is read."""
    place = folder / subject.name
    stems = sorted(path.with_suffix("") for path in (place / "kept_back").glob("*.png"))
    captions = [stem.with_suffix(".txt").read_text() for stem in stems]
    real = torch.stack([_pixels(stem.with_suffix(".png")) for stem in stems])
    files: dict[Key, Path | None] = {BASE: None}
    files |= {
        one.key: study.workspace.root / one.file for one in usable(study) if only is None or one.key in only
    }
    paths = {key: place / "truth" / f"{key[0]:03d}-{key[1]:06d}.npz" for key in files}
    _render({key: files[key] for key in files if not paths[key].exists()}, study, captions, paths)
    eyes, seen, pictures = Eyes(), {}, {}
    for key, path in paths.items():
        with np.load(path) as stored:
            pictures[key] = stored["pictures"]
        seen[key] = _seen(eyes, path, pictures[key])
    return Truth(eyes.look(real), seen, pictures)


def noise_of(subject: Subject, study: Study, folder: Path) -> dict[str, float]:
    """How much each metric moves when the base model is measured again; for the rule that weighed by that."""
    path = folder / subject.name / "noise.json"
    if not path.exists():
        _, builder = _builder(study, 1)
        first, again = (
            [builder.build(Exam.everyday(study.spec.judge, label))] for label in ("search", "again")
        )
        write_whole(path, json.dumps(units.noise(first, again)).encode())
    found: dict[str, float] = json.loads(path.read_text())
    return found


def judged(study: Study, folder: Path) -> dict[Key, tuple[ScoreCard | None, np.ndarray]]:
    """Cards and pictures of all checkpoints as a search's judge makes them, for replays of other rules.

    Pictures have shape (renders, height, width, 3), bytes; `BASE` has the bare base model's.
    """
    files = {one.key: study.workspace.root / one.file for one in usable(study)}
    paths = {key: folder / "judged" / f"{key[0]:03d}-{key[1]:06d}.npz" for key in [BASE, *files]}
    missing = [key for key in files if not paths[key].exists()]
    if missing:
        _judge(study, {key: files[key] for key in missing}, paths)
    found = {}
    for key, path in paths.items():
        with np.load(path) as stored:
            card = ScoreCard.model_validate_json(str(stored["card"])) if key != BASE else None
            found[key] = card, stored["pictures"]
    return found


def _opened(study: Study, slots: int) -> tuple[TrainingPlan, Pack]:
    """The plan of the study's fixed fields, and a pack that trains nothing."""
    template = Planner(study.spec, study.dataset, study.seed).plan({})
    return template, session.open(template, study.dataset, study.workspace.cache, slots)


def _builder(study: Study, slots: int) -> tuple[Pack, JudgeBuilder]:
    template, pack = _opened(study, slots)
    resolution = template.data.resolution
    return pack, JudgeBuilder(study.spec.judge, pack.data, pack.bank, template.seed, resolution)


def _judge(study: Study, files: Mapping[Key, Path], paths: Mapping[Key, Path]) -> None:
    pack, builder = _builder(study, PACK)
    judge = builder.build(REPLAYED)
    _keep(paths[BASE], card=np.array(""), pictures=_bytes(judge.base.renders[0]))
    keys = list(files)
    for start in range(0, len(keys), PACK):
        some = keys[start : start + PACK]
        plans = [
            load_lora(files[key], pack.bank, slot, pack.data.base.kohya_names)
            for slot, key in enumerate(some)
        ]
        shown = [Shown(slot, plan.base.clip_skip) for slot, plan in enumerate(plans)]
        for slot, (card, renders) in enumerate(judge.score(shown, asked=range(len(shown)))):
            pack.bank.close(slot)
            text = np.array(card.model_dump_json())
            _keep(paths[some[slot]], card=text, pictures=_bytes(renders))


def _keep(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez_compressed(part, **arrays)  # type: ignore[arg-type]
    part.rename(path)


def _bytes(pictures: Tensor) -> np.ndarray:
    return (pictures * 255).round().byte().permute(0, 2, 3, 1).numpy()


def _seen(eyes: Eyes, path: Path, pictures: np.ndarray) -> Seen:
    """What the eyes see of one file's pictures, kept beside it."""
    kept = path.with_suffix(".pt")
    if not kept.exists():
        flat = torch.from_numpy(pictures).flatten(0, 1).permute(0, 3, 1, 2).float() / 255
        found = eyes.look(flat)
        torch.save([found.content.half(), *(layer.half() for layer in found.style)], kept)
    content, *style = (part.float() for part in torch.load(kept, weights_only=True))
    return Seen(content, tuple(style))


def _render(
    files: Mapping[Key, Path | None], study: Study, captions: Sequence[str], paths: Mapping[Key, Path]
) -> None:
    """Draws every kept-back caption with every file, `PACK` files at a time."""
    if not files:
        return
    template, pack = _opened(study, PACK)
    data, bank = pack.data, pack.bank
    keys = list(files)
    for start in range(0, len(keys), PACK):
        some, shown = keys[start : start + PACK], []
        for slot, key in enumerate(some):
            file = files[key]
            plan = load_lora(file, bank, slot, data.base.kohya_names) if file else template
            shown.append(Shown(slot if file else None, plan.base.clip_skip))
        prompts = [caption for _ in range(SEEDS) for caption in captions]
        seeds = [derive(study.seed, "truth", place) for place in range(len(prompts))]
        found = render(data, bank, shown, prompts, seeds, SETTINGS, MOST_ROWS)
        for slot, key in enumerate(some):
            if files[key]:
                bank.close(slot)
            whole = _bytes(found[slot])
            _keep(paths[key], pictures=whole.reshape(-1, len(captions), *whole.shape[1:]))
        print(f"  {study.spec.study.name}: {start + len(some)} of {len(keys)} checkpoints drawn", flush=True)


def _pixels(path: Path) -> Tensor:
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB")).copy()).permute(2, 0, 1).float() / 255
