"""Where the files of a single training go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studies.spec.sections import SaveSection


@dataclass(frozen=True, slots=True)
class Output:
    """Names below one folder."""

    root: Path
    name: str
    """Of the LoRA."""
    epochs: int
    """Of the whole training."""

    @property
    def record(self) -> Path:
        """What is trained, so that another plan is not taken for this one."""
        return self.root / "training.json"

    @property
    def state(self) -> Path:
        """Training state at the last epoch end."""
        return self.root / "state.safetensors"

    @property
    def cache(self) -> Path:
        """Latents."""
        return self.root / "cache"

    def lora(self, epoch: int) -> Path:
        """The LoRA file of an epoch; the last epoch's has the plain name, as kohya's has."""
        number = "" if epoch >= self.epochs else f"-{epoch:06d}"
        return self.root / f"{self.name}{number}.safetensors"

    def sample(self, epoch: int, place: int) -> Path:
        """The picture of a prompt at an epoch."""
        return self.root / "samples" / f"{self.name}-{epoch:06d}-{place:02d}.png"

    def writes(self, epoch: int, every: int) -> bool:
        """Whether something that comes every so many epochs comes at this one."""
        return epoch % every == 0 or epoch >= self.epochs

    def surplus(self, epoch: int, save: SaveSection) -> list[Path]:
        """LoRA files that are no longer kept once this epoch has ended."""
        if save.keep_last is None:
            return []
        written = range(save.every_n_epochs, min(epoch, self.epochs - 1) + 1, save.every_n_epochs)
        return [self.lora(one) for one in written[: -save.keep_last]]
