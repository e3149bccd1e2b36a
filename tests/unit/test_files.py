"""Files that are whole or not there, whoever writes them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from napari_mitosis.files import replacing, write_whole


def test_an_error_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    write_whole(path, "before\n", durable=True)

    def interrupted() -> None:
        with replacing(path) as partial:
            partial.write_text("half", encoding="utf-8")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted()
    assert path.read_bytes() == b"before\n"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_one_process_do_not_take_each_others_files(tmp_path: Path) -> None:
    """Both are in the middle of writing at the same time."""
    path, both, errors = tmp_path / "kept.txt", threading.Barrier(2), []

    def write(letter: str) -> None:
        try:
            with replacing(path, durable=True) as partial:
                both.wait()
                partial.write_text(letter * 1000, encoding="utf-8")
                both.wait()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert path.read_text(encoding="utf-8") in ("a" * 1000, "b" * 1000)
    assert list(tmp_path.iterdir()) == [path]
