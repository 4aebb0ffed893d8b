"""Text by object from text by frame: all of it, in order, in the memory of a part."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from longtake.store.spill import Spill


def test_all_comes_back_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtake.store.spill.WAITING_BYTES", 40)
    monkeypatch.setattr("longtake.store.spill.HELD_BYTES", 120)
    with Spill(tmp_path) as spill:
        for step in range(100):
            spill.add("é", f"{step}ü,".encode())
            if step % 3 == 0:
                spill.add("b", f"{step};".encode())
        assert b"".join(spill.pieces("é")).decode() == "".join(f"{step}ü," for step in range(100))
        assert b"".join(spill.pieces("b")).decode() == "".join(f"{step};" for step in range(0, 100, 3))
        spill.add("b", b"end")
        assert b"".join(spill.pieces("b")).decode().endswith("99;end")
        assert list(spill.pieces("nobody")) == []
    assert list(tmp_path.iterdir()) == []


def test_ten_times_the_text_takes_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longtake.store.spill.WAITING_BYTES", 200_000)
    monkeypatch.setattr("longtake.store.spill.HELD_BYTES", 400_000)

    def peak(entries: int) -> int:
        tracemalloc.start()
        try:
            with Spill(tmp_path) as spill:
                for step in range(entries):
                    spill.add(f"object {step % 5}", b"x" * 1000)
                size = sum(len(text) for n in range(5) for text in spill.pieces(f"object {n}"))
            assert size == entries * 1000
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(5000) < 1.1 * peak(500)
