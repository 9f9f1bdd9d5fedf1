"""Writes the demonstration set: Fluent flat pictures with captions, its licence, and the repository's NOTICE."""

from __future__ import annotations

from pathlib import Path

from artwork import (
    ASSETS,
    BASE_STYLES,
    PACKAGES,
    ROOT,
    SEEN_STYLES,
    UNSEEN_STYLE,
    drawings,
    over,
    rasterise,
    words,
)
from concepts import DEMO_CONCEPTS

PIXELS = 96
TRIGGER = "fluentflat"
REPEATS = 10
"""kohya's naming: `10_fluent` shows each picture ten times an epoch."""

MIT = """MIT License

Copyright (c) Microsoft Corporation.

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


def caption(slug: str) -> str:
    """Returns a demonstration caption: the trigger word, then the name."""
    return f"{TRIGGER}, {words(slug)}"


def write_pictures(folder: Path) -> tuple[str, ...]:
    """Writes `<slug>.png` over white and `<slug>.txt` for every demonstration concept; returns the slugs."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for slug, svg in drawings(PACKAGES[UNSEEN_STYLE]):
        if slug in DEMO_CONCEPTS:
            picture = over(rasterise(svg, PIXELS), (255, 255, 255))
            Image.fromarray(picture).save(folder / f"{slug}.png", optimize=True)
            (folder / f"{slug}.txt").write_text(caption(slug) + "\n")
    return tuple(sorted(path.stem for path in folder.glob("*.png")))


def notice(slugs: tuple[str, ...]) -> str:
    """Returns the text of NOTICE: which shipped file derives from whose artwork, under which licence."""
    source = PACKAGES[UNSEEN_STYLE]
    lines = [
        "lorasearch",
        "Copyright 2026 The lorasearch authors",
        "",
        "This product is licensed under the Apache License 2.0 (file LICENSE). It holds files derived from the",
        "artwork and data of others, which tools/ fetches from npm and PyPI; see tools/README.md.",
        "",
        "studies/library/assets/micro-sd/unet and micro-sd/text_encoder, micro-sd3/transformer and its text encoders:",
        "weights trained here on pictures of",
        *(_source_line(style) for style in BASE_STYLES),
        "",
        "studies/library/assets/micro-sd/vae (micro-sd3/vae is the same) and micro-clip:",
        "weights trained here on pictures of",
        *(_source_line(style) for style in SEEN_STYLES),
        "",
        "studies/library/assets/micro-clip was also trained on words of emojilib 4.0.3 (npm emojilib),",
        "Copyright (c) 2014 Mu-An Chiou, MIT License, https://github.com/muan/emojilib.",
        "",
        "The tokenizer files in all (vocab.json, merges.txt, tokenizer.json) are the first merges of the vocabulary",
        "of CLIP, Copyright (c) 2021 OpenAI, MIT License, https://github.com/openai/CLIP.",
        "",
        "studies/library/assets/demo/10_fluent: Fluent Emoji (flat), Copyright (c) Microsoft Corporation, MIT License",
        f"(file studies/library/assets/demo/LICENSE.txt), {source.source},",
        f"from npm {source.npm} {source.version}, rasterised at {PIXELS} px over white. The artworks:",
        *_wrapped(slugs),
        "",
        "docs/micro-samples.png and docs/micro-flow-samples.png show pictures that micro-sd and micro-sd3 rendered.",
        "",
        "Creative Commons Attribution 4.0: https://creativecommons.org/licenses/by/4.0/. Changes: the pictures were",
        "rasterised at 64 px and used in training; what the models render resembles them.",
        "No licensor endorses this product.",
    ]
    return "\n".join(lines) + "\n"


def _source_line(style: str) -> str:
    package = PACKAGES[style]
    return f"  - {style}: {package.author}, {package.licence}, {package.source} (npm {package.npm} {package.version})"


def _wrapped(slugs: tuple[str, ...], per_line: int = 6) -> list[str]:
    return ["  " + ", ".join(slugs[start : start + per_line]) for start in range(0, len(slugs), per_line)]


def main() -> None:
    """Writes pictures, captions, the licence and NOTICE."""
    slugs = write_pictures(ASSETS / "demo" / f"{REPEATS}_fluent")
    (ASSETS / "demo" / "LICENSE.txt").write_text(MIT)
    (ROOT / "NOTICE").write_text(notice(slugs))
    print(len(slugs), "pictures")


if __name__ == "__main__":
    main()
