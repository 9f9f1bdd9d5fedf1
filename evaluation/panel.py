"""What checkpoints are judged on."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.rendering import RenderSettings
from trainer.data.buckets import Size
from trainer.seeds import derive


@dataclass(frozen=True, slots=True)
class Panel:
    """Images, timesteps and prompts on which every checkpoint is measured alike."""

    held_out: tuple[int, ...]
    """Examples for validation loss; also the references of image-image similarity."""
    seen: tuple[int, ...]
    """Training examples on which the same loss shows the gap."""
    prompts: tuple[str, ...]
    """One picture is rendered for each; a prompt may stand more than once, with another seed."""
    timesteps: int
    """Per image."""
    seed: int
    settings: RenderSettings
    max_rows: int
    training: tuple[int, ...] = ()
    """Training examples that renders are compared with; memorisation is left out where there are none."""
    outside: tuple[str, ...] = ()
    """Prompts that are not in the data set, one picture each for those who are asked."""

    @property
    def size(self) -> Size:
        """Width and height of renders, in pixels."""
        return self.settings.width, self.settings.height

    @property
    def prompt_seeds(self) -> list[int]:
        """What each picture is drawn from."""
        return [derive(self.seed, "prompt", i) for i in range(len(self.prompts))]

    @property
    def owners(self) -> list[int]:
        """The prompt that each render shows, as a number."""
        return [self.prompts.index(prompt) for prompt in self.prompts]
