"""Which concepts the micro models use: the demonstration's, and those that no model should spend capacity on."""

GENERATED_CATEGORIES = frozenset(
    {"Activities", "Animals & Nature", "Food & Drink", "Objects", "Smileys & Emotion", "Travel & Places"}
)
"""Categories of the Fluent flat package that the base model is trained on; people and signs are left out."""

UNSUITABLE = (
    r"(^|-)(light|medium|dark)$|skin-tone|medium-light|medium-dark|^flag-|^keycap|^letter-|-button$|oclock"
    r"|-thirty$|^regional-|^japanese-|^input-|-arrow$|^squared-|^circled-"
)

DEMO_CONCEPTS = frozenset(
    ["red-apple", "banana", "strawberry", "watermelon", "lemon", "pineapple", "carrot", "mushroom", "eggplant", "pizza", "hamburger", "doughnut", "birthday-cake", "ice-cream", "cookie", "hot-dog", "bread", "dog-face", "cat-face", "panda", "lion", "fox", "pig-face", "frog", "penguin", "owl", "octopus", "tropical-fish", "butterfly", "lady-beetle", "turtle", "snail", "whale", "rabbit-face", "elephant", "sunflower", "rose", "cactus", "evergreen-tree", "four-leaf-clover", "automobile", "bus", "bicycle", "airplane", "sailboat", "rocket", "locomotive", "umbrella", "light-bulb", "guitar", "open-book", "key", "crown", "soccer-ball", "balloon", "house", "grinning-face", "smiling-face-with-sunglasses", "robot", "ghost"]
)
"""Concepts of the demonstration set: CLIP never sees them; the base sees them in other styles only."""
