"""Real clocks and id makers: the only ones there are."""

from __future__ import annotations

import secrets
import threading
import time

from mayfly.kit.clock import Millis
from mayfly.kit.ids import RunId, sortable

_ADJECTIVES = [
    "amber",
    "ample",
    "balmy",
    "bold",
    "brave",
    "breezy",
    "bright",
    "brisk",
    "calm",
    "clear",
    "clever",
    "cool",
    "coral",
    "crisp",
    "dapper",
    "deft",
    "eager",
    "early",
    "fair",
    "fine",
    "fresh",
    "gentle",
    "glad",
    "golden",
    "good",
    "green",
    "happy",
    "honest",
    "ivory",
    "jolly",
    "keen",
    "kind",
    "lemon",
    "light",
    "lively",
    "loyal",
    "lucid",
    "lucky",
    "mellow",
    "merry",
    "mild",
    "mint",
    "modest",
    "neat",
    "nimble",
    "noble",
    "olive",
    "patient",
    "plain",
    "plum",
    "polite",
    "proud",
    "quick",
    "quiet",
    "rapid",
    "ready",
    "red",
    "rosy",
    "round",
    "ruby",
    "sage",
    "sandy",
    "sharp",
    "shiny",
    "silver",
    "sincere",
    "sleek",
    "smart",
    "smooth",
    "soft",
    "solid",
    "spry",
    "stable",
    "steady",
    "still",
    "strong",
    "sunny",
    "sure",
    "sweet",
    "swift",
    "tidy",
    "tough",
    "true",
    "upbeat",
    "vast",
    "vivid",
    "warm",
    "wise",
    "witty",
    "young",
    "zesty",
]
_NOUNS = [
    "acorn",
    "apple",
    "arch",
    "aspen",
    "badger",
    "basil",
    "bay",
    "beach",
    "bean",
    "beetle",
    "birch",
    "bird",
    "boat",
    "book",
    "branch",
    "bread",
    "brook",
    "bush",
    "cactus",
    "camel",
    "carrot",
    "cedar",
    "cherry",
    "cliff",
    "cloud",
    "clover",
    "comet",
    "coral",
    "cove",
    "crane",
    "creek",
    "cricket",
    "daisy",
    "dawn",
    "deer",
    "dove",
    "dune",
    "eagle",
    "elm",
    "ember",
    "falcon",
    "feather",
    "fern",
    "field",
    "fig",
    "finch",
    "fjord",
    "flower",
    "forest",
    "fox",
    "frost",
    "garden",
    "ginger",
    "glade",
    "goose",
    "grape",
    "grove",
    "harbor",
    "hazel",
    "heron",
    "hill",
    "honey",
    "island",
    "ivy",
    "jasmine",
    "kettle",
    "kite",
    "lake",
    "lantern",
    "leaf",
    "lemon",
    "lilac",
    "lily",
    "linden",
    "lynx",
    "maple",
    "meadow",
    "melon",
    "mint",
    "moon",
    "moss",
    "nest",
    "oak",
    "olive",
    "orchid",
    "otter",
    "owl",
    "palm",
    "peach",
    "pear",
    "pebble",
    "pine",
    "plum",
    "pond",
    "poppy",
    "rain",
    "reef",
    "river",
    "robin",
    "rose",
    "sail",
    "seal",
    "shell",
    "sky",
    "snow",
    "spruce",
    "star",
    "stone",
    "storm",
    "sun",
    "swan",
    "thyme",
    "tulip",
    "valley",
    "walnut",
    "wave",
    "willow",
]
_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"


class SteadyClock:
    """Implements `kit.clock.Clock`."""

    def __init__(self) -> None:
        self._wall = time.time()
        self._start = time.monotonic()

    def now(self) -> Millis:
        return Millis(int((self._wall + time.monotonic() - self._start) * 1000))


class RandomIds:
    """Implements `kit.ids.IdMaker`."""

    def __init__(self, clock: SteadyClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = (Millis(0), 0)

    def new(self, kind: str) -> str:
        with self._lock:
            now, (before, entropy) = self._clock.now(), self._last
            entropy = entropy + 1 if now <= before else secrets.randbits(79)
            self._last = (max(now, before), entropy)
            return sortable(kind, self._last[0], entropy)

    def run(self) -> RunId:
        return RunId(secrets.token_hex(16))

    def secret(self) -> str:
        return secrets.token_urlsafe(32)

    def name(self) -> str:
        number = secrets.randbits(96)  # asked for once: twelve questions to the system take longer than all the rest
        number, adjective = divmod(number, len(_ADJECTIVES))
        number, noun = divmod(number, len(_NOUNS))
        tail = []
        for _ in range(10):
            number, letter = divmod(number, len(_LETTERS))
            tail.append(_LETTERS[letter])
        return f"{_ADJECTIVES[adjective]}_{_NOUNS[noun]}_{''.join(tail)}"
