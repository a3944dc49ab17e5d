"""What people call colours."""

from typing import Final

NAMED: Final = (
    ("black", "#000000 #1c1c1c #1a1420 #141a1e #1e1810"),
    ("grey", "#3c3c3c #595959 #808080 #a6a6a6 #c0c0c0 #6b7480 #8a8580"),
    ("white", "#ffffff #ececec #f2f0ea #e8eef2"),
    ("brown", "#4a2c17 #6b4423 #8b5a2b #5c4033 #7a5c48 #a0693a #3a2618"),
    ("beige", "#f5f0dc #d9c7a5 #c8b08a #e6d5b8 #b8a284"),
    ("red", "#ff0000 #cc1a1a #8b0a0a #b22222 #e04040 #5e0a0a"),
    ("orange", "#ff8000 #ffa500 #e2711d #f4a460 #cc5500"),
    ("yellow", "#ffff00 #ffd700 #f5e050 #c8b400 #fff380 #e0c040"),
    ("green", "#00ff00 #008000 #2e8b57 #6b8e23 #90ee90 #1e4d2b #556b2f #9acd32 #7d9471"),
    ("turquoise", "#00ffff #40e0d0 #008b8b #20b2aa #a0e8e0 #0a5a5a"),
    ("blue", "#0000ff #1e50c8 #000080 #4682b4 #87ceeb #1e90ff #14284b #0f1f5c #6f93b5 #b0d0e8"),
    ("purple", "#800080 #8a2be2 #4b0082 #9370db #c8a2e8 #5a3070 #301848"),
    ("pink", "#ffc0cb #ff69b4 #ff1493 #ff00ff #e08ca0 #f4a6b8 #d87093"),
)
"""Names that most people agree on (Berlin and Kay 1969, with beige and turquoise), each with
samples of what goes by it; the nearest sample in Lab gives the name."""

COLOUR_NAMES: Final = tuple(name for name, _ in NAMED)
