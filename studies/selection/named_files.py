"""The LoRA files that ``judge`` is given: checked, and arranged as checkpoints of runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.trial import Reason
from studies.selection import lora_files
from studies.selection.base_outline import Outline
from studies.selection.lora_runs import LoraCheckpoint, arrange
from trainer.lora_files.content import Content


@dataclass(frozen=True, slots=True)
class NamedFiles:
    """Sound files in order, and what is wrong with the others."""

    checkpoints: Sequence[LoraCheckpoint]
    problems: Sequence[str]
    """In sentences with the remedy."""
    sizes: Mapping[Path, tuple[int, int]]
    """The largest rank and the number of layers of each; empty where the base model is unknown."""
    notes: Sequence[Reason] = ()
    """What of sound files is not judged, and runs whose files cannot be put into the order of training."""

    @property
    def ranks(self) -> list[int]:
        """The largest rank of each checkpoint."""
        return [self.sizes[one.path][0] for one in self.checkpoints]

    @property
    def layers(self) -> list[int]:
        """How many layers each checkpoint adapts."""
        return [self.sizes[one.path][1] for one in self.checkpoints]


def examine(files: Sequence[Path], outline: Outline | None) -> NamedFiles:
    """Reads headers and weights of all files.

    Args:
        files: a file that is named twice is judged once.
        outline: of the base model; None checks only what needs none.
    """
    sound: list[tuple[Path, Mapping[str, str]]] = []
    problems: list[str] = []
    sizes: dict[Path, tuple[int, int]] = {}
    notes: list[Reason] = []
    for path in dict.fromkeys(files):
        content, problem = lora_files.examined(path, outline)
        if problem is not None:
            problems.append(problem)
            continue
        sound.append((path, lora_files.metadata(path)))
        if content is not None:
            sizes[path] = content.rank, len(content)
            notes += _notes(path, content)
    arranged = arrange(sound)
    notes += [Reason("order_unknown", {"run": run}) for run in arranged.unordered]
    return NamedFiles(arranged.checkpoints, problems, sizes, tuple(notes))


def _notes(path: Path, content: Content) -> Iterator[Reason]:
    if content.embeddings:
        names = ", ".join(content.embeddings)
        yield Reason("embeddings_not_read", {"file": path.name, "names": names})
