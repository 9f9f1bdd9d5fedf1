"""From what each step of a study needs to what a whole study needs of a device (pure)."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30
CONTEXT_BYTES = 800 * 2**20
"""What CUDA's context and the workspaces of its libraries take of a card beside all tensors."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """Bytes of the models that look at renders."""

    resident: int
    picture: int
    """Looking at one picture."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes of a study's networks, trials and steps, at one size of images and in one number format."""

    unet: int
    text: int
    """The text encoders that can get a LoRA."""
    vae: int
    eyes: int
    """The judge's CLIP and image encoder."""
    trial: int
    """What stays resident of each trial: weights, gradients, optimiser's state, average."""
    update: int
    """What an optimiser's step makes beside that, of one trial."""
    row: int
    """One image in a training step, its caption included where text encoders are trained."""
    encoded: int
    """Encoding one picture."""
    caption: int
    """Encoding one caption."""
    judged: int
    """One row of the judge's forward passes."""
    decoded: int
    """Decoding one picture."""
    looked: int
    """CLIP looking at one picture."""
    text_stays: bool
    """Whether text encoders are needed in every step: they are trained, or captions change."""
    views_vary: bool = False
    """Whether pictures are encoded beside the U-Net, while training lasts."""
    readers: int = 0
    """The text encoders that are in memory for reading alone, and leave it before training unless texts stay."""


@dataclass(frozen=True, slots=True)
class Use:
    """How a device is used."""

    trials: int
    """Of the pack."""
    batch: int
    """Images of each in a step."""
    offload: bool
    """Whether networks that idle leave the device."""
    judged_rows: int = 2
    """Rows of the judge at a time."""
    looked_at: int = 1
    """Pictures that CLIP sees at a time."""


def stages(needs: Needs, use: Use) -> dict[str, int]:
    """Bytes that each stage of a study needs, in the order of the work: the most counts.

    Where networks that idle leave the device, latents are encoded before the U-Net is on it, unless views vary, and it
    leaves while captions are read or renders looked at, unless text encoders stay for every step.
    """
    slots = use.trials * needs.trial
    lasting = needs.readers if needs.text_stays else 0
    everything = needs.unet + needs.text + needs.vae + needs.eyes + lasting
    training = (needs.unet, needs.text + lasting if needs.text_stays else 0)
    reading = training if needs.text_stays else (needs.text, needs.readers)

    def resident(*working: int) -> int:
        return sum(working) if use.offload else everything

    return {
        "latents": (resident(*training, needs.vae) + slots if needs.views_vary else resident(needs.vae))
        + needs.encoded,
        "captions": (sum(reading) if use.offload else everything - lasting + needs.readers)
        + slots
        + needs.caption,
        "training": resident(*training) + slots + use.trials * use.batch * needs.row,
        "update": resident(*training) + slots + needs.update,
        "rendering": resident(*training) + slots + use.judged_rows * needs.judged,
        "decoding": resident(*training, needs.vae) + slots + needs.decoded,
        "looking": resident(training[1], needs.eyes) + slots + use.looked_at * needs.looked,
    }


def peak(needs: Needs, use: Use) -> int:
    """Bytes that a study needs at its hungriest stage."""
    return max(stages(needs, use).values())


def largest_pack(needs: Needs, batch: int, offload: bool, room: int, most: int) -> int:
    """How many trials fit into ``room`` bytes, judged too, at most ``most``; 0 where not even one does."""
    fits = 0
    for trials in range(1, most + 1):
        if peak(needs, Use(trials, batch, offload)) > room:
            break
        fits = trials
    return fits


def room_of(card_bytes: int) -> int:
    """What tensors may take of a card of so many bytes."""
    return card_bytes - CONTEXT_BYTES
