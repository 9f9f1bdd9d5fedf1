"""Images and captions that cannot be trained on, or should not be opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

from PIL import Image

from tests.bad_input.scene import Bad, Scene, Words, bomb


def _bad(name: str, spoil: Callable[[Scene], object], *says: str) -> Bad:
    def arrange(scene: Scene) -> Words:
        spoil(scene)
        return ["run", scene.root / "small.toml"]

    return Bad(name, arrange, says)


def _emptied(scene: Scene) -> None:
    for file in scene.images.iterdir():
        file.unlink()


def _one_left(scene: Scene) -> None:
    for file in sorted(scene.images.glob("*.png"))[1:]:
        file.unlink()


def _copies(scene: Scene) -> None:
    picture = scene.picture
    for file in sorted(scene.images.glob("*.png"))[1:]:
        shutil.copy(picture, file)


def _cut(scene: Scene) -> None:
    scene.picture.write_bytes(scene.picture.read_bytes()[:300])


def _link_out(scene: Scene) -> None:
    shutil.move(scene.picture, scene.root / "private.png")
    (scene.images / "a.png").symlink_to(scene.root / "private.png")


def _folder_out(scene: Scene) -> None:
    shutil.copytree(scene.images, scene.root / "other")
    (scene.images.parent / "3_other").symlink_to(scene.root / "other")


def _caption_out(scene: Scene) -> None:
    caption = scene.picture.with_suffix(".txt")
    caption.unlink()
    caption.symlink_to("/etc/passwd")


def _dangling(scene: Scene) -> None:
    (scene.images / "a.png").symlink_to(scene.images / "gone.png")


def _nameless(scene: Scene) -> None:
    shutil.copy(scene.picture, os.fsencode(scene.images) + b"/\xff.png")


def _concepts(scene: Scene, text: str) -> None:
    scene.write("concepts.json", text)
    scene.study('folder = "images"', 'concepts = "concepts.json"')


def _long(scene: Scene) -> None:
    Image.new("RGB", (4000, 8)).save(scene.images / "long.png")


BAD = [
    _bad(
        "no image folder",
        lambda s: shutil.rmtree(s.images.parent),
        "images",
        "no such image folder",
        "N_name",
    ),
    _bad("an empty folder", _emptied, "2_fluent", "holds no image"),
    _bad("a single image", _one_left, "images", "1 image(s) found", "at least 3"),
    _bad("copies of one image", _copies, "images", "near-duplicates"),
    _bad(
        "images outside N_name",
        lambda s: shutil.copy(s.picture, s.images.parent),
        "outside a folder named N_name",
    ),
    _bad(
        "a folder without repeats",
        lambda s: s.images.rename(s.images.parent / "fluent"),
        "'fluent'",
        "N_name",
    ),
    _bad(
        "text posing as an image",
        lambda s: s.picture.write_text("hello"),
        ".png",
        "cannot be read",
        "replace",
    ),
    _bad("half an image", _cut, ".png", "cannot be read", "replace or remove"),
    _bad(
        "an empty image", lambda s: s.picture.write_bytes(b""), ".png", "empty (0 bytes)", "replace or remove"
    ),
    _bad(
        "a decompression bomb",
        lambda s: s.picture.write_bytes(bomb(50_000, 50_000)),
        ".png",
        "89 million",
        "decompression bomb",
        "scale it down",
    ),
    _bad(
        "a smaller decompression bomb",
        lambda s: s.picture.write_bytes(bomb(10_000, 10_000)),
        ".png",
        "10000 x 10000",
        "scale it down",
    ),
    _bad("an image longer than a train", _long, "long.png", "4000 x 8", "32 : 1", "crop"),
    _bad(
        "PostScript posing as an image",
        lambda s: s.picture.write_text("%!PS-Adobe-3.0 EPSF-3.0\n"),
        "cannot be read",
    ),
    _bad(
        "a link to an image elsewhere", _link_out, "a.png", "leads out of the data folder", "remove the link"
    ),
    _bad(
        "a link to a folder elsewhere",
        _folder_out,
        "3_other",
        "leads out of the data folder",
        "remove the link",
    ),
    _bad(
        "a link to a caption elsewhere",
        _caption_out,
        ".txt",
        "leads out of the data folder",
        "remove the link",
    ),
    _bad("a link to nothing", _dangling, "a.png", "leads nowhere", "remove it"),
    _bad(
        "a pipe posing as an image",
        lambda s: os.mkfifo(s.images / "pipe.png"),
        "pipe.png",
        "no file",
        "remove",
    ),
    _bad(
        "a pipe posing as a caption",
        lambda s: os.mkfifo(s.images / "pipe.txt"),
        "pipe.txt",
        "no file",
        "remove",
    ),
    _bad("a file name that is no UTF-8", _nameless, "\\udcff.png", "not UTF-8", "rename"),
    _bad(
        "a caption in Latin-1",
        lambda s: s.picture.with_suffix(".txt").write_bytes("schön".encode("latin-1")),
        ".txt",
        "not UTF-8 (byte 3)",
        "save it as UTF-8",
    ),
    _bad(
        "a caption of a megabyte",
        lambda s: s.picture.with_suffix(".txt").write_text("tag, " * 200_000),
        ".txt",
        "1000000 bytes",
        "at most 65536",
        "shorten",
    ),
    _bad(
        "a concepts list that is no JSON",
        lambda s: _concepts(s, "[{"),
        "concepts.json",
        "cannot be read as JSON",
    ),
    _bad(
        "a concepts list nested without end", lambda s: _concepts(s, "[" * 100_000), "concepts.json", "JSON"
    ),
    _bad(
        "a concept with an unknown key",
        lambda s: _concepts(s, '[{"instance_data_dir": "images/2_fluent", "prompt": "x"}]'),
        "concept 1",
        "'prompt' is not a known key",
        "choose among",
    ),
    _bad(
        "captions in a broken metadata file",
        lambda s: (
            s.write("meta.json", '{"a": 5}'),
            _concepts(s, '[{"instance_data_dir": "images/2_fluent", "metadata_file": "meta.json"}]'),
        ),
        "meta.json",
        "'a'",
        "text",
    ),
]
