"""The artwork that the micro models learn from: fetched from npm, rasterised, cut into sets of concepts."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from concepts import (
    DEMO_CONCEPTS,
    GENERATED_CATEGORIES,
    GENERATED_OTHERS,
    UNGENERATED,
    UNSUITABLE,
    VALIDATED_CATEGORIES,
)

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".micro"
ASSETS = ROOT / "studies" / "library" / "assets"
PIXELS = 64
HELD_OUT_EVERY = 12


@dataclass(frozen=True)
class Package:
    """One npm package of emoji artwork: `icons.json` holds the body of an SVG under each name."""

    style: str
    npm: str
    version: str
    author: str
    licence: str
    source: str


PACKAGES = {
    package.style: package
    for package in (
        Package(
            "twemoji",
            "@iconify-json/twemoji",
            "1.2.5",
            "Twitter, Inc. and other contributors",
            "CC BY 4.0",
            "https://github.com/jdecked/twemoji",
        ),
        Package(
            "noto",
            "@iconify-json/noto",
            "1.2.9",
            "Google LLC",
            "Apache-2.0",
            "https://github.com/googlefonts/noto-emoji",
        ),
        Package(
            "noto classic",
            "@iconify-json/noto-v1",
            "1.2.5",
            "Google LLC",
            "Apache-2.0",
            "https://github.com/googlefonts/noto-emoji",
        ),
        Package(
            "emojione",
            "@iconify-json/emojione",
            "1.2.3",
            "EmojiOne and EmojiTwo contributors",
            "CC BY 4.0",
            "https://github.com/EmojiTwo/emojitwo",
        ),
        Package(
            "firefox",
            "@iconify-json/fxemoji",
            "1.2.2",
            "Mozilla",
            "Apache-2.0",
            "https://github.com/mozilla/fxemoji",
        ),
        Package(
            "fluent",
            "@iconify-json/fluent-emoji",
            "1.2.7",
            "Microsoft Corporation",
            "MIT",
            "https://github.com/microsoft/fluentui-emoji",
        ),
        Package(
            "fluentflat",
            "@iconify-json/fluent-emoji-flat",
            "1.2.6",
            "Microsoft Corporation",
            "MIT",
            "https://github.com/microsoft/fluentui-emoji",
        ),
    )
}
BASE_STYLES = ("twemoji", "noto", "noto classic", "emojione", "firefox")
"""Styles of the base model: Fluent in any form is left out, so that the demonstration's style is new to it."""
SEEN_STYLES = (*BASE_STYLES, "fluent")
"""Styles of the autoencoder and of CLIP."""
UNSEEN_STYLE = "fluentflat"
KEYWORDS = ("emojilib", "4.0.3")


@dataclass(frozen=True)
class Gallery:
    """Pictures of one style.

    Attributes:
        style: The style's words, as captions name them.
        names: Slugs, one a picture.
        pictures: Straight RGBA, shape (n, 64, 64, 4), uint8.
    """

    style: str
    names: tuple[str, ...]
    pictures: np.ndarray

    def on_white(self) -> np.ndarray:
        """Returns the pictures over white, shape (n, 64, 64, 3), uint8."""
        return over(self.pictures, (255, 255, 255))

    def only(self, names: Iterable[str]) -> Gallery:
        """Returns the pictures whose slug is among `names`, in the gallery's order."""
        wanted = frozenset(names)
        rows = [row for row, name in enumerate(self.names) if name in wanted]
        return Gallery(self.style, tuple(self.names[row] for row in rows), self.pictures[rows])


def over(rgba: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Returns straight RGBA pictures, shape (..., 4), laid over one colour, shape (..., 3), uint8."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    mixed = rgba[..., :3] * alpha + np.asarray(colour, np.float32) * (1 - alpha)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def words(slug: str) -> str:
    """Returns the name that a slug spells: `red-apple` gives `red apple`."""
    return slug.replace("-", " ")


def is_held_out(slug: str) -> bool:
    """Tells whether no shipped model may see this concept in training (about one in twelve; never a demo one)."""
    digest = hashlib.sha256(slug.encode()).digest()
    return slug not in DEMO_CONCEPTS and digest[0] % HELD_OUT_EVERY == 0


def is_plain(slug: str) -> bool:
    """Tells whether a slug is no skin tone, flag, letter, key or clock face."""
    return not re.search(UNSUITABLE, slug)


def fetch(npm: str, version: str, folder: Path) -> Path:
    """Returns the package's archive in `folder`, which `npm pack` fetches when it is not there."""
    archive = folder / f"{npm.lstrip('@').replace('/', '-')}-{version}.tgz"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{npm}@{version}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return archive


def member(archive: Path, name: str) -> Any:
    """Returns one JSON file of an npm archive."""
    with tarfile.open(archive) as tar:
        stream = tar.extractfile(f"package/{name}")
        if stream is None:
            raise FileNotFoundError(f"{archive} holds no file package/{name}.")
        return json.load(stream)


def categories() -> dict[str, str]:
    """Returns each plain concept's category, as the Fluent flat package sorts them."""
    package = PACKAGES[UNSEEN_STYLE]
    table = member(fetch(package.npm, package.version, STATE / "packages"), "metadata.json")["categories"]
    return {slug: kind for kind, slugs in table.items() for slug in slugs if is_plain(slug)}


def generated_concepts() -> tuple[str, ...]:
    """Returns the concepts that the base model learns: none of them is held out."""
    listed = DEMO_CONCEPTS | GENERATED_OTHERS
    return tuple(
        slug
        for slug, kind in sorted(categories().items())
        if not is_held_out(slug)
        and (slug in listed or (kind in GENERATED_CATEGORIES and not re.search(UNGENERATED, slug)))
    )


def validation_concepts() -> tuple[str, ...]:
    """Returns the held-out concepts that the base model is validated on."""
    return tuple(
        slug
        for slug, kind in sorted(categories().items())
        if is_held_out(slug) and kind in VALIDATED_CATEGORIES
    )


def keywords() -> dict[str, tuple[str, ...]]:
    """Returns further words for each slug, from emojilib."""
    table = member(fetch(*KEYWORDS, STATE / "packages"), "dist/emoji-en-US.json")
    plain = re.compile(r"[a-z][a-z ]{2,}")
    return {
        entry[0].replace("_", "-"): tuple(
            word for word in (item.replace("_", " ") for item in entry[1:]) if plain.fullmatch(word)
        )
        for entry in table.values()
    }


def drawings(package: Package) -> Iterator[tuple[str, str]]:
    """Yields slug and SVG text of every concept that the package draws."""
    icons = member(fetch(package.npm, package.version, STATE / "packages"), "icons.json")
    concepts = categories()
    glued = {slug.replace("-", ""): slug for slug in concepts}
    taken = set()
    for name, icon in sorted(icons["icons"].items()):
        slug = name if name in concepts else glued.get(name, "")
        if slug and slug not in taken:
            taken.add(slug)
            yield slug, _svg(icon, icons)


def _svg(icon: dict[str, Any], icons: dict[str, Any]) -> str:
    width = icon.get("width", icons.get("width", 16))
    height = icon.get("height", icons.get("height", 16))
    box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
    links = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {links} viewBox="{box}">{icon["body"]}</svg>'


def rasterise(svg: str, pixels: int) -> np.ndarray:
    """Returns an SVG as straight RGBA, shape (pixels, pixels, 4), uint8, centred if it is not square."""
    import resvg_py
    from PIL import Image

    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=pixels, height=pixels))
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    canvas = Image.new("RGBA", (pixels, pixels))
    canvas.paste(picture, ((pixels - picture.width) // 2, (pixels - picture.height) // 2))
    return np.asarray(canvas)


def gallery(style: str) -> Gallery:
    """Returns a style's pictures; the first call fetches and rasterises them, later ones read `.micro/`."""
    cache = STATE / f"artwork-{style.replace(' ', '-')}.npz"
    if not cache.exists():
        names, pictures = zip(
            *((slug, rasterise(svg, PIXELS)) for slug, svg in drawings(PACKAGES[style])), strict=True
        )
        part = cache.with_suffix(".part.npz")
        np.savez_compressed(part, names=np.array(names), pictures=np.stack(pictures))
        part.rename(cache)
    with np.load(cache) as stored:
        return Gallery(style, tuple(stored["names"].tolist()), stored["pictures"])


if __name__ == "__main__":
    for known in PACKAGES:
        print(known, len(gallery(known).names))
