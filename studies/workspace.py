"""The folder of a study: the one place that knows every file name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from studies.errors import StudyError
from trainer.files import appearing, patiently, write_whole


@dataclass(frozen=True, slots=True)
class Workspace:
    """Names, and nothing but names, below one folder."""

    root: Path
    encoded: Path | None = None
    """Folder of encoded images where it is not the workspace's own."""

    @property
    def study_file(self) -> Path:
        """The study file as it was when the study began."""
        return self.root / "study.toml"

    @property
    def source(self) -> Path:
        """Remembers where the study file was, since its relative paths start there."""
        return self.root / "source.json"

    @property
    def original(self) -> Path:
        """The study file that the study was begun with."""
        return Path(json.loads(self.source.read_text(encoding="utf-8"))["study_file"])

    @property
    def storage_url(self) -> str:
        """The default storage."""
        return f"sqlite:///{self.database.as_posix()}"

    @property
    def database(self) -> Path:
        """The file behind ``storage_url``."""
        return self.root / "study.sqlite3"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the study."""
        return self.root / "run.lock"

    def runner_lock(self, runner: str) -> Path:
        """Held by one of several runners that share the study."""
        return self.root / f"run-{runner}.lock"

    def owner(self, lock: Path) -> Path:
        """Holds the number of the process that holds ``lock``, which itself Windows lets nobody read meanwhile."""
        return lock.with_suffix(".pid")

    @property
    def cache(self) -> Path:
        """Latents and text embeddings."""
        return self.encoded or self.root / "cache"

    @property
    def artifacts(self) -> Path:
        """What the dashboard shows beside the numbers."""
        return self.root / "artifacts"

    @property
    def best(self) -> Path:
        """The winner's LoRA file."""
        return self.root / "best.safetensors"

    @property
    def selection(self) -> Path:
        """Why it won."""
        return self.root / "selection.json"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.root / "report.html"

    @property
    def checkpoints(self) -> Path:
        """Every scored checkpoint with its figures, for spreadsheets."""
        return self.root / "checkpoints.csv"

    @property
    def tensorboard(self) -> Path:
        """Curves of all trials as TensorBoard reads them."""
        return self.root / "tensorboard"

    def trial(self, number: int) -> Path:
        """The folder of a trial."""
        return self.root / "trials" / f"{number:04d}"

    def state(self, number: int, fold: int | None = None) -> Path:
        """Training state at the last epoch end of a trial, or of its training without a fold."""
        return self.trial(number) / f"state{_part(fold)}.safetensors"

    def lora(self, number: int, epoch: int, fold: int | None = None) -> Path:
        """The LoRA file of a checkpoint, or of its training without a fold."""
        return self.trial(number) / f"trial-{number:04d}{_part(fold)}-{epoch:06d}.safetensors"

    def renders(self, number: int, epoch: int) -> Path:
        """A checkpoint's renders side by side."""
        return self.trial(number) / f"epoch-{epoch:06d}.png"

    def sheet(self, number: int) -> Path:
        """All epochs' renders of a trial."""
        return self.trial(number) / "contact-sheet.png"

    @property
    def base_renders(self) -> Path:
        """The base model's renders of the same prompts and seeds."""
        return self.root / "trials" / "base.png"

    def relative(self, path: Path) -> str:
        """A path as it stands in files that may move with the workspace."""
        return path.relative_to(self.root).as_posix()

    def prepare(self) -> None:
        """Makes the folder.

        Raises:
            StudyError: it cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StudyError(
                f"{self.root}: the workspace cannot be made ({error.strerror}); "
                "choose another folder with --workspace."
            ) from error

    def discard_state(self, number: int) -> None:
        """A trial that has ended needs no training state."""
        for state in self.trial(number).glob("state*.safetensors"):
            state.unlink(missing_ok=True)


def _part(fold: int | None) -> str:
    return "" if fold is None else f"-without-fold-{fold}"


def default_root(name: str) -> Path:
    """Where a study's workspace lies when no one says otherwise."""
    return Path("workspaces") / name


class Document(BaseModel):
    """What is written as JSON for users, frozen; so are its parts."""

    model_config = ConfigDict(frozen=True)


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON, whole or not at all."""
    write_whole(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def copy_whole(source: Path, target: Path) -> None:
    """Copies a file so that ``target`` appears whole or not at all."""

    def copy() -> None:
        with appearing(target) as part:
            shutil.copyfile(source, part)

    patiently(target, copy)


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested document by dotted names; a search parameter's range stays whole."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and not prefix.startswith("search.space"):
            found |= flat(value, f"{name}.")
        else:
            found[name] = value
    return found
