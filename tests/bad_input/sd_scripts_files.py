"""Configurations of sd-scripts that cannot be imported."""

from __future__ import annotations

from tests.bad_input.scene import Bad, Scene, Words
from tests.studies.conftest import ASSETS


def _bad(name: str, text: str, *says: str, dataset: str | None = None) -> Bad:
    def arrange(scene: Scene) -> Words:
        made = [scene.write("kohya.toml", text.format(base=ASSETS / "micro-sd", images=scene.images.parent))]
        if dataset is not None:
            made.append(scene.write("dataset.toml", dataset.format(images=scene.images)))
        return ["import", *made, "-o", scene.root / "out.toml"]

    return Bad(name, arrange, says)


_SOUND = 'pretrained_model_name_or_path = "{base}"\ntrain_data_dir = "{images}"\nmax_train_epochs = 2\n'
_BASE = 'pretrained_model_name_or_path = "{base}"\nmax_train_epochs = 2\n'
_CACHED = "cache_text_encoder_outputs = true\nshuffle_caption = true"


def _taken(scene: Scene) -> Words:
    text = _SOUND.format(base=ASSETS / "micro-sd", images=scene.images.parent)
    return ["import", scene.write("kohya.toml", text), "-o", scene.write("out.toml", "mine")]


def _gone(scene: Scene) -> Words:
    return ["import", "gone.toml"]


BAD = [
    Bad("no configuration there", _gone, ("gone.toml", "no such file")),
    _bad("a configuration that is no TOML", "a = [", "kohya.toml", "not valid TOML"),
    _bad(
        "a configuration with a Windows path between double quotes",
        _SOUND + r'vae = "D:\models\v"',
        "kohya.toml:4",
        "single quotes",
    ),
    _bad(
        "a configuration with images on Windows",
        _BASE + r"train_data_dir = 'D:\sets'",
        r"train_data_dir: D:\sets",
        "--images",
    ),
    _bad(
        "a configuration without base",
        'train_data_dir = "{images}"',
        "pretrained_model_name_or_path",
        "--base",
    ),
    _bad(
        "a configuration with a pickled base",
        _SOUND.replace("{base}", "/x/sd.ckpt"),
        "/x/sd.ckpt",
        "run code",
    ),
    _bad("a configuration without images", _BASE, "train_data_dir", "--images"),
    _bad("a configuration with images nowhere", _BASE + 'train_data_dir = "/nowhere"', "/nowhere"),
    _bad("a rank that is text", _SOUND + 'network_dim = "big"', "network_dim", "'big'"),
    _bad("a size of zero", _SOUND + "resolution = 0", "resolution", "0"),
    _bad(
        "captions cached and shuffled",
        _SOUND + _CACHED,
        "keep one",
    ),
    _bad("a path with a NUL", _SOUND.replace("{base}", "a\\u0000b"), "no path"),
    _bad("a path too long for sd-scripts", _SOUND.replace("{base}", "a" * 300), "no path", "255 bytes"),
    _bad("data sets that are a number", _BASE, "datasets", dataset="datasets = 3"),
    _bad(
        "a data set nowhere",
        _BASE,
        "/nowhere",
        dataset='[[datasets]]\n[[datasets.subsets]]\nimage_dir = "/nowhere"',
    ),
    Bad("an import onto another file", _taken, ("out.toml", "another file is there", "--force")),
]
