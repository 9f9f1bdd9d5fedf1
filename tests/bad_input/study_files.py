"""Study files that cannot be run."""

from __future__ import annotations

from tests.bad_input.scene import Bad, Scene, Words

_RANK = '"lora.rank" = { choices = [2, 4] }'
_RATE = '"optimiser.unet_lr" = { low = 1e-4, high = 3e-2, log = true }'
_NAME = 'name = "small"'


def _bad(name: str, old: str, new: str, *says: str, more: str = "") -> Bad:
    def arrange(scene: Scene) -> Words:
        return ["run", scene.study(old, new, more)]

    return Bad(name, arrange, ("small.toml", *says))


def _without_file(scene: Scene) -> Words:
    return ["run", scene.root / "nothing.toml"]


def _folder(scene: Scene) -> Words:
    return ["run", scene.root / "images"]


def _latin(scene: Scene) -> Words:
    return ["run", scene.write("small.toml", "# Schlüssel\n".encode("latin-1"))]


def _endless(scene: Scene) -> Words:
    return ["run", scene.write("small.toml", "#" * (5 * 2**20))]


def _pickled_clip(scene: Scene) -> Words:
    scene.write("clip/pytorch_model.bin", b"\x80\x02")
    scene.write("clip/config.json", "{}")
    text = (scene.root / "small.toml").read_text()
    clip = next(line for line in text.splitlines() if line.startswith("clip"))
    return ["run", scene.study(clip, 'clip = "clip"')]


def _no_clip(scene: Scene) -> Words:
    text = (scene.root / "small.toml").read_text()
    clip = next(line for line in text.splitlines() if line.startswith("clip"))
    return ["run", scene.study(clip, 'clip = "/nowhere/clip"')]


BAD = [
    Bad("no study file", _without_file, ("nothing.toml", "there is no such study file", "--help")),
    Bad("a folder without study files", _folder, ("images", "holds no study file")),
    Bad("a study file in Latin-1", _latin, ("small.toml", "UTF-8")),
    Bad("a study file of five megabytes", _endless, ("small.toml", "larger than")),
    _bad("TOML syntax", "trials = 4", "trials = = 4", "not valid TOML", "line 10"),
    _bad(
        "a Windows path between double quotes",
        'folder = "images"',
        r'folder = "C:\images\x"',
        "small.toml:7",
        "not valid TOML",
        "single quotes",
    ),
    _bad(
        "a Windows path with a tab in it",
        'folder = "images"',
        r'folder = "C:\train"',
        "small.toml:7",
        "plan.data.folder",
        "it holds '\\t'",
        "single quotes",
    ),
    _bad("the same key twice", "trials = 4", "trials = 4\ntrials = 5", "not valid TOML"),
    _bad("tables nested without end", _NAME, f"{_NAME}\nx = {'[' * 5000}{']' * 5000}", "nested"),
    _bad("a misspelt section", "[budget]", "[budgett]", ":9", "budgett", "did you mean budget?"),
    _bad(
        "a misspelt field of a section", "trials = 4", "trails = 4", ":10", "trails", "did you mean trials?"
    ),
    _bad(
        "a misspelt field of the plan",
        "resolution = 64",
        "resolutoin = 64",
        "resolutoin",
        "did you mean data.resolution",
    ),
    _bad(
        "a misspelt field in the space", '"lora.rank"', '"lora.rnak"', "lora.rnak", "did you mean lora.rank"
    ),
    _bad("text for a number", "trials = 4", 'trials = "four"', "budget.trials", "integer", "'four'"),
    _bad("a number for text", _NAME, "name = 7", "study.name", "string", "7"),
    _bad(
        "a value out of range",
        "images_per_trial = 32",
        "images_per_trial = 0",
        "budget.images_per_trial",
        "0",
    ),
    _bad("a seed of thirty digits", "seed = 5", f"seed = {10**30}", "study.seed", "less than"),
    _bad(
        "not a number", _RATE, '"optimiser.unet_lr" = { low = nan, high = 1e-2 }', "optimiser.unet_lr", "nan"
    ),
    _bad("low above high", "low = 1e-4, high = 3e-2", "low = 3e-2, high = 1e-4", "optimiser.unet_lr", "0.03"),
    _bad("zero on a log scale", "low = 1e-4", "low = 0", "optimiser.unet_lr", "log", "0"),
    _bad("a range without an end", ", high = 3e-2", "", "optimiser.unet_lr", "high"),
    _bad("no choices", _RANK, '"lora.rank" = { choices = [] }', "lora.rank", "choices"),
    _bad("a choice twice", _RANK, '"lora.rank" = { choices = [2, 2] }', "lora.rank", "twice"),
    _bad("a parameter that is no table", _RANK, '"lora.rank" = 4', "lora.rank", "{ low = "),
    _bad("an empty space", "[search.space]", "[search.space]\n[nothing]", "search.space is empty"),
    _bad("an unknown sampler", 'sampler = "random"', 'sampler = "tpp"', "search.sampler", "'tpp'", "tpe"),
    _bad("an unknown pruner", 'name = "none"', 'name = "asah"', "search.pruner", "'asah'", "asha"),
    _bad(
        "an unknown optimiser", '["adamw", "lion"]', '["adamw", "loin"]', "optimiser.name", "'loin'", "lion"
    ),
    _bad(
        "a condition on nothing",
        _RANK,
        '"lora.rank" = { choices = [2, 4], when = { "lora.none" = [1] } }',
        "lora.rank",
        "'lora.none' names no parameter",
        "choose among",
    ),
    _bad(
        "conditions in a circle",
        f'{_RANK}\n"lora.text_encoder" = {{ choices = [true, false] }}',
        '"lora.rank" = { choices = [2, 4], when = { "lora.text_encoder" = [true] } }\n'
        '"lora.text_encoder" = { choices = [true, false], when = { "lora.rank" = [2] } }',
        "form a circle: lora.rank, lora.text_encoder",
    ),
    _bad("both fixed and searched", "[budget]", "[plan.lora]\nrank = 4\n[budget]", "lora.rank", "keep one"),
    _bad(
        "a first recipe outside the space",
        "[split]",
        '[[first]]\n"lora.rank" = 3\n[split]',
        "first.0",
        "lora.rank",
        "3",
        "2, 4",
    ),
    _bad(
        "a first recipe of unknown fields",
        "[split]",
        '[[first]]\n"lora.size" = 3\n[split]',
        "first.0",
        "'lora.size'",
        "choose among",
    ),
    _bad("an unknown weight", "[confirm]", "[objective]\nbeauty = 1.0\n[confirm]", "beauty", "validation"),
    _bad("weights of nothing", "[confirm]", "[objective]\nvalidation = 0\n[confirm]", "weight"),
    _bad("no budget", "[budget]\ntrials = 4\nimages_per_trial = 32", "", "budget: is missing"),
    _bad("a budget without a limit", "trials = 4\n", "", "budget", "trials, images, minutes"),
    _bad("a name with a slash", _NAME, 'name = "a/b"', "study.name", "'a/b'", "letters"),
    _bad("a name that climbs", _NAME, 'name = ".."', "study.name", "'..'"),
    _bad("a name with a dash in front", _NAME, 'name = "-rf"', "study.name", "'-rf'"),
    _bad("a name with a NUL", _NAME, 'name = "a\\u0000b"', "study.name", "letters"),
    _bad("a name that Windows keeps", _NAME, 'name = "nul"', "study.name", "'nul'", "Windows"),
    _bad("a name of a hundred letters", _NAME, f'name = "{"a" * 100}"', "study.name", "1-64"),
    _bad("a pack of none", "size = 3", "size = 0", "pack.size: input should be greater", "0"),
    _bad(
        "a path with a NUL in a study", 'folder = "images"', 'folder = "a\\u0000b"', "plan.data.folder", "NUL"
    ),
    _bad(
        "a path too long for any disk",
        'folder = "images"',
        f'folder = "{"a" * 300}"',
        "plan.data.folder",
        "255 bytes",
    ),
    Bad("a CLIP of pickles", _pickled_clip, ("judge.clip", "pytorch_model.bin", "could run code", "convert")),
    Bad("no CLIP there", _no_clip, ("judge.clip", "/nowhere/clip", "no such folder", "hub name")),
]
