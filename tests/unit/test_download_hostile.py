"""A server that sends drop by drop, for ever, too much, or nonsense; on this machine, by a bare socket."""

from __future__ import annotations

import contextlib
import itertools
import time
from pathlib import Path

import pytest
from tests.attack.servers import serving

from napari_mitosis.datasets.download import HASHES_NAME, download_midogpp
from napari_mitosis.datasets.http import fetch
from napari_mitosis.errors import DatasetError
from napari_mitosis.jobs import run

MANY_S = 10.0
"""A cancel takes a tenth of a second; without it these servers would hold for a minute and more."""


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n"


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD % b"100000", *[b"x", 0.2] * 500],  # a byte at a time
        [60.0],  # no answer at all
        [HEAD % b"100000", b"x" * 50_000, 60.0],  # and then nothing
    ],
    ids=["drops", "silence", "half"],
)
def test_a_cancel_does_not_wait_for_the_server(tmp_path: Path, pieces: list[bytes | float]) -> None:
    with serving(pieces) as url:
        job = fetch(url, tmp_path / "a.part", timeout_s=60)
        began = time.monotonic()
        for _ in itertools.takewhile(lambda _: time.monotonic() - began < 0.5, job):
            pass
        job.close()  # type: ignore[attr-defined]
        assert time.monotonic() - began < MANY_S


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD % b"9999999999999"],
        [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 10_000] * 200],
        [HEAD % b"99", b"x" * 99],
    ],
    ids=["claims too much", "sends too much", "a little too much"],
)
def test_more_than_is_expected_is_not_taken(tmp_path: Path, pieces: list[bytes | float]) -> None:
    with serving(pieces) as url, pytest.raises(DatasetError, match="more than the"):
        run(fetch(url, tmp_path / "a.part", max_bytes=98, attempts=1))
    assert not (tmp_path / "a.part").exists()


NONSENSE = {
    "a length of ²": [b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nabc"],
    "a length of many digits": [HEAD % (b"9" * 5000) + b"abc"],
    "a negative length": [HEAD % b"-5" + b"abc"],
    "a range that is none": [b"HTTP/1.1 206 OK\r\nContent-Range: bytes x-y/z\r\nContent-Length: 3\r\n\r\nabc"],
    "no status": [b"hello\r\n\r\n"],
    "nothing": [b""],
    "a circle": [b"HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n"],
    "elsewhere": [b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"],
    "chunks that are none": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc"],
}


@pytest.mark.parametrize("pieces", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_told_or_taken_for_what_it_is(tmp_path: Path, pieces: list[bytes]) -> None:
    with serving(pieces) as url, contextlib.suppress(DatasetError):  # no other error, and nothing else on disk
        run(fetch(url, tmp_path / "a.part", attempts=2, retry_wait_s=0.01, timeout_s=5))
    part = tmp_path / "a.part"
    assert not part.exists() or part.read_bytes() in (b"", b"abc")


@pytest.mark.parametrize("text", ["[]", '{"a": {"b": "c"}}', '{"a": 1}', "[" * 100_000, "\udcff"])
def test_a_file_of_hashes_that_is_none_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / HASHES_NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DatasetError, match=r"hashes\.json: expected an object"):
        run(download_midogpp(tmp_path, "human breast cancer", 1, base_url="http://127.0.0.1:9/{id}"))
