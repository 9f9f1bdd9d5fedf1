"""Images for studies that are judged from outside: styles that the micro base has not seen, and photographs.

Fetched, never shipped: artwork from npm (`tools/artwork.py`), cut-outs of photographs from Debian's
`tuxpaint-stamps-default`. Each subject keeps some of its images back: no study ever reads them.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import artwork  # noqa: E402
from artwork import Package  # noqa: E402

KEPT_BACK = 32
"""Most images of a subject that are shown to no study."""
STAMPS = "tuxpaint-stamps-default"
"""Debian's package of photographs (GPL-2)."""

Pictures = Callable[[], Iterator[tuple[str, Image.Image]]]
"""What each shows, in words, and the picture."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What one study learns."""

    name: str
    style: str
    """As captions call it."""
    images: int
    """That the study is given."""
    pictures: Pictures
    chooses: bool
    """Whether rules were chosen by it; the others are evidence."""

    def write(self, folder: Path) -> None:
        """Writes `images/10_<name>` for the study and `kept_back/`, captions beside the images."""
        found = self._drawn()
        mine, theirs = found[: self.images], found[self.images : self.images + KEPT_BACK]
        _write(folder / "images" / f"10_{self.name}", mine, f"{self.style} style")
        _write(folder / "kept_back", theirs, f"{self.style} style")

    def keep_back(self, folder: Path, without: Collection[str]) -> None:
        """Writes `kept_back/` without what a study's own images show; captions begin with the style."""
        found = [one for one in self._drawn() if one[0] not in without]
        _write(folder / "kept_back", found[:KEPT_BACK], self.style)

    def _drawn(self) -> list[tuple[str, Image.Image]]:
        """All pictures, in an order that says nothing."""
        return sorted(self.pictures(), key=lambda one: hashlib.sha256(one[0].encode()).digest())


def _write(folder: Path, pictures: list[tuple[str, Image.Image]], first: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for words, picture in pictures:
        stem = words.replace(" ", "-")[:60]
        picture.save(folder / f"{stem}.png")
        (folder / f"{stem}.txt").write_text(f"{first}, {words}")


def _icons(npm: str, version: str) -> Package:
    return Package(npm, f"@iconify-json/{npm}", version, "", "", "")


OPENMOJI = _icons("openmoji", "1.2.29")
BLACK_AND_WHITE = _icons("fluent-emoji-high-contrast", "1.2.6")
LINES = _icons("streamline-emojis", "1.2.4")
ONE_COLOUR = _icons("emojione-monotone", "1.2.1")
ULTIMATE = _icons("streamline-ultimate-color", "1.2.2")
PLUMP = _icons("streamline-plump-color", "1.2.2")
STICKERS = _icons("streamline-stickies-color", "1.2.2")
TWO_TONES = _icons("duo-icons", "1.2.2")
ROUNDED = _icons("streamline-kameleon-color", "1.2.2")
SIGNS = _icons("flat-color-icons", "1.2.3")
BY_HAND = _icons("streamline-freehand-color", "1.2.2")
FLEX = _icons("streamline-flex-color", "1.2.2")
CYBER = _icons("streamline-cyber-color", "1.2.2")
SHARP = _icons("streamline-sharp-color", "1.2.2")
GAME = _icons("game-icons", "1.2.4")
INTERFACE = _icons("flat-ui", "1.2.3")
MARKET = _icons("marketeq", "1.2.2")
PIXEL = _icons("streamline-pixel", "1.2.0")
PARK = _icons("icon-park", "1.2.4")
EARLY = _icons("emojione-v1", "1.2.3")
SOLAR = _icons("solar", "1.2.13")
PHOSPHOR = _icons("ph", "1.2.2")
LUCIDE = _icons("lucide", "1.2.137")
MAGE = _icons("mage", "1.2.4")
LETS = _icons("lets-icons", "1.2.2")
FLUENT, FLAT = artwork.PACKAGES["fluent"], artwork.PACKAGES["fluentflat"]


def emoji(package: Package, *kinds: str, known: bool = True) -> Pictures:
    """Pictures of some categories; `known`: only of concepts that the base has learnt in other styles."""

    def pictures() -> Iterator[tuple[str, Image.Image]]:
        sorts, learnt = artwork.categories(), frozenset(artwork.generated_concepts())
        for slug, svg in artwork.drawings(package):
            if sorts[slug] in kinds and (slug in learnt or not known):
                yield artwork.words(slug), _raster(svg)

    return pictures


def _signs(package: Package, ending: str = "") -> Pictures:
    """Every picture of a set whose names are no emoji's; numbered and two-part doubles are left out.

    Args:
        package: the set.
        ending: of the names that are taken, which is left out of the words.
    """

    def pictures() -> Iterator[tuple[str, Image.Image]]:
        icons = artwork.member(
            artwork.fetch(package.npm, package.version, artwork.STATE / "packages"), "icons.json"
        )
        for slug, icon in sorted(icons["icons"].items()):
            if slug.endswith(ending) and not re.search(r"\d|-(duo|flat)$|left|right|up$|down$", slug):
                yield artwork.words(slug.removesuffix(ending)), _raster(artwork._svg(icon, icons))

    return pictures


def _raster(svg: str) -> Image.Image:
    return Image.fromarray(artwork.over(artwork.rasterise(svg, artwork.PIXELS), (255, 255, 255)))


def _photographs(*folders: str) -> Pictures:
    """Cut-outs below some folders of the stamps, drawings left out, on white."""

    def pictures() -> Iterator[tuple[str, Image.Image]]:
        told = set()
        for path in sorted(path for folder in folders for path in (_stamps() / folder).rglob("*.png")):
            text = path.with_suffix(".txt")
            if "cartoon" in path.parts or path.stem.endswith("_mirror") or not text.exists():
                continue
            words = _words(text.read_text(encoding="utf-8", errors="replace").splitlines()[0])
            if words and words not in told:
                told.add(words)
                yield words, _fitted(Image.open(path).convert("RGBA"))

    return pictures


def _words(sentence: str) -> str:
    """`An Adelaide Rosella.` gives `adelaide rosella`."""
    plain = re.sub(r"[^a-z ]", "", sentence.lower().split(".")[0])
    return " ".join(word for word in plain.split() if word not in {"a", "an", "the"})


def _fitted(picture: Image.Image) -> Image.Image:
    """Whole, centred on a white square."""
    side = artwork.PIXELS
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (side, side))
    canvas.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return Image.fromarray(artwork.over(np.asarray(canvas), (255, 255, 255)))


@cache
def _stamps() -> Path:
    """Where the stamps lie; the first call fetches and unpacks them."""
    place = artwork.STATE / "stamps"
    if not (place / "usr").exists():
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["apt-get", "download", "-q", STAMPS], cwd=place, check=True, stdout=subprocess.DEVNULL
        )
        (archive,) = place.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", str(archive), str(place)], check=True)
        archive.unlink()
    return place / "usr" / "share" / "tuxpaint" / "stamps"


ANIMALS, FOOD, OBJECTS = "Animals & Nature", "Food & Drink", "Objects"
PLACES, FACES = "Travel & Places", "Smileys & Emotion"

SUBJECTS = (
    Subject("outlined-animals", "openmoji", 36, emoji(OPENMOJI, ANIMALS), True),
    Subject("black-objects", "high contrast", 36, emoji(BLACK_AND_WHITE, OBJECTS, PLACES), True),
    Subject("photographed-animals", "photograph", 36, _photographs("animals"), True),
    Subject("rounded-signs", "kameleon", 24, _signs(ROUNDED), True),
    Subject("faces", "streamline", 36, emoji(LINES, FACES, known=False), True),
    Subject("fluent-nature", "fluent", 96, emoji(FLUENT, ANIMALS, FOOD), True),
    Subject("flat-objects", "fluentflat", 36, emoji(FLAT, OBJECTS, PLACES), True),
    Subject("outlined-food", "openmoji", 24, emoji(OPENMOJI, FOOD), True),
    Subject("black-animals", "high contrast", 36, emoji(BLACK_AND_WHITE, ANIMALS), True),
    Subject("photographed-plants", "photograph", 36, _photographs("food", "plants"), True),
    Subject("coloured-signs", "flat colour", 36, _signs(SIGNS), True),
    Subject("one-colour", "monotone", 36, emoji(ONE_COLOUR, FACES, PLACES), True),
    Subject("by-hand", "freehand", 96, _signs(BY_HAND), True),
    Subject("fluent-things", "fluent", 96, emoji(FLUENT, OBJECTS, PLACES, FACES), True),
    Subject("line-nature", "streamline", 24, emoji(LINES, ANIMALS, FOOD, known=False), True),
    Subject(
        "photographed-things",
        "photograph",
        36,
        _photographs("household", "clothes", "hobbies", "vehicles", "sports", "military", "medical", "space"),
        True,
    ),
    Subject("outlined-objects", "openmoji", 36, emoji(OPENMOJI, OBJECTS, PLACES), True),
    Subject("black-food", "high contrast", 24, emoji(BLACK_AND_WHITE, FOOD), True),
    Subject("one-colour-nature", "monotone", 36, emoji(ONE_COLOUR, ANIMALS, FOOD), True),
    Subject("ultimate-signs", "ultimate", 36, _signs(ULTIMATE), True),
    Subject("plump-signs", "plump", 96, _signs(PLUMP), True),
    Subject("stickers", "sticker", 24, _signs(STICKERS), True),
    Subject("two-tones", "two tone", 36, _signs(TWO_TONES), True),
    Subject("flat-nature", "fluentflat", 36, emoji(FLAT, ANIMALS, FOOD), True),
    Subject("line-things", "streamline", 36, emoji(LINES, OBJECTS, PLACES, known=False), True),
    Subject(
        "photographed-places",
        "photograph",
        36,
        _photographs("town", "seasonal", "naturalforces", "people", "symbols"),
        True,
    ),
    Subject("flex-signs", "flex", 36, _signs(FLEX), False),
    Subject("cyber-signs", "cyber", 36, _signs(CYBER), False),
    Subject("sharp-signs", "sharp", 24, _signs(SHARP), False),
    Subject("game-things", "engraved", 96, _signs(GAME), False),
    Subject("flat-interface", "flat interface", 36, _signs(INTERFACE), False),
    Subject("market-signs", "coloured outline", 36, _signs(MARKET), False),
    Subject("pixel-signs", "pixel", 36, _signs(PIXEL), False),
    Subject("park-signs", "two stroke", 96, _signs(PARK), False),
    Subject("early-emoji", "early emoji", 24, _signs(EARLY), False),
    Subject("duotone-signs", "duotone", 36, _signs(SOLAR, "-bold-duotone"), False),
    Subject("phosphor-signs", "phosphor", 36, _signs(PHOSPHOR, "-duotone"), False),
    Subject("lucide-signs", "thin outline", 36, _signs(LUCIDE), False),
    Subject("mage-signs", "solid", 24, _signs(MAGE, "-fill"), False),
    Subject("lets-signs", "lets", 96, _signs(LETS, "-duotone"), False),
    Subject("one-colour-things", "monotone", 36, emoji(ONE_COLOUR, OBJECTS), False),
)
"""Twenty-six that rules are chosen by, each of which tested the rule before it was fixed when its round was new; then
fifteen that test the present one, named before any was run: ten searched by TPE, five by the Gaussian process."""
