"""What every log store must do, as a class to inherit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from mayfly.kit.errors import Invalid
from mayfly.ports.logs import LogStore

OUT = "user_logs/std_log.txt"


class LogContract:
    """Inherit it and give a fixture `logs`, an empty store."""

    def test_bytes_come_back_as_they_were_sent(self, logs: LogStore) -> None:
        assert logs.append("job", 1, 0, OUT, 0, b"one\n") == 4
        assert logs.append("job", 1, 0, OUT, 4, b"\xff\x00two") == 9
        assert logs.size("job", 1, 0, OUT) == 9
        assert logs.read("job", 1, 0, OUT, 0, 100) == b"one\n\xff\x00two"
        assert logs.read("job", 1, 0, OUT, 3, 2) == b"\n\xff"
        assert logs.read("job", 1, 0, OUT, 9, 100) == b""
        assert logs.read("job", 1, 0, OUT, 99, 100) == b""

    def test_what_is_known_is_skipped(self, logs: LogStore) -> None:
        logs.append("job", 1, 0, OUT, 0, b"abcdef")
        assert logs.append("job", 1, 0, OUT, 0, b"abcdef") == 6
        assert logs.append("job", 1, 0, OUT, 2, b"XX") == 6
        assert logs.append("job", 1, 0, OUT, 4, b"efgh") == 8
        assert logs.read("job", 1, 0, OUT, 0, 100) == b"abcdefgh"

    def test_a_gap_is_not_written(self, logs: LogStore) -> None:
        assert logs.append("job", 1, 0, OUT, 5, b"late") == 0
        logs.append("job", 1, 0, OUT, 0, b"abc")
        assert logs.append("job", 1, 0, OUT, 5, b"late") == 3
        assert logs.read("job", 1, 0, OUT, 0, 100) == b"abc"

    def test_nothing_is_nothing(self, logs: LogStore) -> None:
        assert logs.size("job", 1, 0, OUT) == 0
        assert logs.read("job", 1, 0, OUT, 0, 10) == b""
        assert logs.files("job", 1) == []
        logs.seal("job", 1, 0, OUT)

    def test_files_are_told_by_rank_and_name(self, logs: LogStore) -> None:
        for rank, file in ((10, "b"), (2, "a/b.txt"), (2, "a/a.txt")):
            logs.append("job", 1, rank, file, 0, b"x")
        logs.append("job", 2, 0, "other", 0, b"x")
        logs.append("job2", 1, 0, "other", 0, b"x")
        assert logs.files("job", 1) == [(2, "a/a.txt"), (2, "a/b.txt"), (10, "b")]

    def test_sealing_changes_nothing_that_is_read(self, logs: LogStore) -> None:
        logs.append("job", 1, 0, OUT, 0, b"abc")
        logs.seal("job", 1, 0, OUT)
        logs.seal("job", 1, 0, OUT)
        assert logs.read("job", 1, 0, OUT, 0, 100) == b"abc"

    def test_no_name_leaves_the_store(self, logs: LogStore) -> None:
        for file in ("", "/etc/passwd", "../up", "a/../../up", "nul\x00", "x" * 300, "back\\slash"):
            with pytest.raises(Invalid):
                logs.append("job", 1, 0, file, 0, b"x")
        with pytest.raises(Invalid):
            logs.append("../job", 1, 0, OUT, 0, b"x")

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=some.binary(max_size=60), sends=some.lists(some.tuples(some.integers(0, 60), some.integers(0, 30))))
    def test_any_repetition_of_pieces_gives_the_text(
        self, logs: LogStore, text: bytes, sends: list[tuple[int, int]]
    ) -> None:
        """Pieces of one text, in any order, with gaps and repeats: what is there is always a prefix of it."""
        file = f"log-{abs(hash((text, tuple(sends))))}"
        size = 0
        for offset, length in sends:
            if offset <= len(text):
                size = logs.append("job", 1, 0, file, offset, text[offset : offset + length])
                assert logs.read("job", 1, 0, file, 0, 1000) == text[:size]
        assert logs.append("job", 1, 0, file, size, text[size:]) == len(text)
        assert logs.read("job", 1, 0, file, 0, 1000) == text

    def test_many_threads_write_their_own_files(self, logs: LogStore) -> None:
        def write(rank: int) -> int:
            size = 0
            for _ in range(20):
                size = logs.append("job", 1, rank, OUT, size, bytes([rank]) * 10)
            return size

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(write, range(16))) == [200] * 16
        assert all(logs.read("job", 1, rank, OUT, 0, 1000) == bytes([rank]) * 200 for rank in range(16))
