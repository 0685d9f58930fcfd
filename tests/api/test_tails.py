"""The end of a log as events: whoever joins where, however it is cut, has every character once."""

from __future__ import annotations

import json
import random

from mayfly.api import tails
from mayfly.api.tails import Tail, Text
from mayfly.services.logs import LogFile
from mayfly.testing.chance import seed

WORDS = "a line\n", "ü", "漢字", "🙂", "x" * 50


def told(event: bytes) -> dict:
    return json.loads(event.decode().split("data: ", 1)[1])


def test_whoever_joins_has_every_character_once(monkeypatch) -> None:
    monkeypatch.setattr(tails, "KEPT", 200)
    chance = random.Random(seed())
    for _ in range(200):
        text = "".join(chance.choice(WORDS) for _ in range(chance.randrange(60)))
        data, grown = text.encode(), chance.randrange(400)

        def read(_log: LogFile, offset: int, most: int, data: bytes = data) -> bytes:
            return data[offset : offset + most]

        tail = Tail(LogFile("log", 1, 0, "log", False, min(grown, len(data))), read)
        while tail.read_to < len(data):
            tail.grow(data[tail.read_to : tail.read_to + chance.randrange(1, 60)])
        tail.grow(b"", final=True)
        place = Text("log", 0)
        seen, at = "", 0
        while place.begin < tail.end:
            chunk = tail.at(place.begin) if place.begin == place.end else None
            if chunk is None:
                joins = tail.joins(place.end)
                some = data[place.end : min(joins, place.end + chance.randrange(1, 60))]
                chunk = place.event(some, final=place.end + len(some) >= joins)
            else:
                place.begin = place.end = chunk.after
            if chunk is not None:
                one = told(chunk.event)
                assert one["offset"] == at and one["next"] > at
                seen, at = seen + one["text"], one["next"]
        assert seen == text, (text, grown)
