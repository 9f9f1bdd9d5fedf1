"""Which concepts the micro models use: the demonstration's, and those that no model should spend capacity on."""

VALIDATED_CATEGORIES = frozenset(
    {"Activities", "Animals & Nature", "Food & Drink", "Objects", "Smileys & Emotion", "Travel & Places"}
)
"""Categories of the Fluent flat package whose held-out concepts the base model is validated on."""

GENERATED_CATEGORIES = frozenset({"Animals & Nature", "Food & Drink"})
"""Categories that the base model learns; it has no room for people, signs, buildings and paperwork."""

GENERATED_OTHERS = frozenset(
    """
    american-football basketball baseball tennis volleyball softball bowling boxing-glove trophy
    wrapped-gift teddy-bear christmas-tree jack-o-lantern game-die party-popper kite fishing-pole
    artist-palette video-game ribbon yo-yo ambulance fire-engine police-car taxi minibus racing-car
    delivery-truck motor-scooter motorcycle kick-scooter helicopter ship speedboat canoe tractor
    flying-saucer satellite tent castle volcano rainbow star glowing-star sun sun-with-face
    crescent-moon full-moon-face cloud snowflake snowman fire droplet water-wave comet ringed-planet
    globe-showing-americas high-voltage anchor alarm-clock watch hourglass-done luggage wheel bomb
    candle magnet hammer axe dagger wrench screwdriver scissors shield bell camera telephone television
    radio mobile-phone laptop battery magnifying-glass-tilted-right microphone trumpet violin saxophone
    drum accordion musical-note t-shirt jeans dress necktie glasses sunglasses top-hat billed-cap
    backpack handbag socks high-heeled-shoe running-shoe ring gem-stone lipstick money-bag coin books
    pencil pen crayon envelope closed-umbrella door chair bed toilet bathtub toothbrush soap broom
    basket bucket balance-scale telescope microscope pill syringe red-heart blue-heart green-heart
    yellow-heart orange-heart purple-heart broken-heart sparkling-heart skull alien alien-monster
    pile-of-poo clown-face ogre goblin speech-balloon collision zzz beaming-face-with-smiling-eyes
    face-with-tears-of-joy smiling-face-with-heart-eyes crying-face loudly-crying-face angry-face
    sleeping-face winking-face face-with-tongue neutral-face slightly-smiling-face frowning-face
    cowboy-hat-face nerd-face thinking-face flushed-face zipper-mouth-face
    face-with-medical-mask smiling-face-with-horns smiling-face-with-halo upside-down-face grinning-cat
    kissing-face face-with-open-mouth
    """.split()  # noqa: SIM905
)
"""Concepts of other categories that the base model learns."""

UNSUITABLE = (
    r"(^|-)(light|medium|dark)$|skin-tone|medium-light|medium-dark|^flag-|^keycap|^letter-|-button$|oclock"
    r"|-thirty$|^regional-|^japanese-|^input-|-arrow$|^squared-|^circled-"
)

UNGENERATED = (
    r"amphora|bento|beverage-box|bottle-with|bowl-with|burrito|chopsticks|clinking|cooking|curry|custard|cut-of|dango"
    r"|dumpling|falafel|fish-cake|flatbread|fondue|fork-and|glass-of-milk|green-salad|honey-pot|^jar$|kitchen|leafy"
    r"|^mate$|moon-cake|oden|oyster|pea-pod|pot-of|pouring|rice|sake|salt|shallow|shaved|steaming|stuffed|takeout"
    r"|tamale|teacup|tumbler|ginger|herb|microbe|nest|^fly$|cockroach|^cricket|badger|bison|boar|chipmunk|coral|dodo"
    r"|^ewe$|guide-dog|leaf-flutt|orangutan|^ox$|otter|phoenix|poodle|^ram$|^rat$|sauropod|service|seedling|shamrock"
    r"|sheaf|skunk|sloth|spiral|spouting|swan|t-rex|two-hump|buffalo|wilted|^wing$|^wood$|worm|feather|mammoth|lizard"
    r"|mosquito|scorpion|hyacinth|hibiscus|front-facing|black-cat|blackbird|donkey|beaver|beans|butter$|paw-prints"
)
"""Concepts of the generated categories that the base model leaves out: rare dishes, near doubles."""

DEMO_CONCEPTS = frozenset(
    [
        "red-apple",
        "banana",
        "strawberry",
        "watermelon",
        "lemon",
        "pineapple",
        "carrot",
        "mushroom",
        "eggplant",
        "pizza",
        "hamburger",
        "doughnut",
        "birthday-cake",
        "ice-cream",
        "cookie",
        "hot-dog",
        "bread",
        "dog-face",
        "cat-face",
        "panda",
        "lion",
        "fox",
        "pig-face",
        "frog",
        "penguin",
        "owl",
        "octopus",
        "tropical-fish",
        "butterfly",
        "lady-beetle",
        "turtle",
        "snail",
        "whale",
        "rabbit-face",
        "elephant",
        "sunflower",
        "rose",
        "cactus",
        "evergreen-tree",
        "four-leaf-clover",
        "automobile",
        "bus",
        "bicycle",
        "airplane",
        "sailboat",
        "rocket",
        "locomotive",
        "umbrella",
        "light-bulb",
        "guitar",
        "open-book",
        "key",
        "crown",
        "soccer-ball",
        "balloon",
        "house",
        "grinning-face",
        "smiling-face-with-sunglasses",
        "robot",
        "ghost",
    ]
)
"""Concepts of the demonstration set: CLIP never sees them; the base sees them in other styles only."""
