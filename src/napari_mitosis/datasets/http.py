"""A resumable HTTP download, as a job that can be cancelled between two chunks."""

from __future__ import annotations

import math
import queue
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DatasetError
from ..jobs import Progress

if TYPE_CHECKING:
    import requests

MAX_BYTES = 2**33
"""Of a file of which nothing is known: eight gigabytes."""

_CHUNK_BYTES = 2**14
_PAUSE_S = 0.1
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Broken(Exception):
    """The transfer stopped early; it may be resumed."""


def fetch(
    url: str,
    part: Path,
    *,
    timeout_s: float = 30.0,
    attempts: int = 4,
    retry_wait_s: float = 2.0,
    max_bytes: int = MAX_BYTES,
) -> Iterator[Progress]:
    """Download into `part`, going on where an earlier call stopped.

    The file's validator (ETag or Last-Modified) is kept in ``PART.tag`` and sent along (If-Range), so that two
    versions of a file are never joined. Closing it ends it within a moment, whatever the server does.

    Parameters
    ----------
    url : str
    part : Path
    timeout_s, retry_wait_s : float
        Of silence of the server; pause before the second attempt, which doubles each time.
    attempts : int
        How often a broken transfer is resumed.
    max_bytes : int
        More is not taken.

    Yields
    ------
    Progress
        Bytes done and in all (0 = the server does not say).

    Raises
    ------
    DatasetError
        When the server cannot be reached, answers with an error or sends too much, or the disk fails. `part` stays.
    """
    import requests  # slow to import, and only downloads need it

    for attempt in range(1, attempts + 1):
        try:
            session = requests.Session()  # not closed here: a thread may still wait for its answer
            yield from _transfer(session, url, part, timeout_s, max_bytes)
            part.with_name(f"{part.name}.tag").unlink(missing_ok=True)
            return
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, _Broken) as error:
            if attempt == attempts:
                raise DatasetError(
                    f"{url} cannot be fetched ({_cause(error)}). Check the network connection; "
                    "the same command goes on where this one stopped."
                ) from error
            for _ in range(math.ceil(retry_wait_s * 2 ** (attempt - 1) / _PAUSE_S)):
                time.sleep(_PAUSE_S)
                yield Progress(_size(part), 0)  # so that a waiting job can be cancelled
        except requests.RequestException as error:
            raise DatasetError(f"{url} cannot be fetched ({_cause(error)})") from error
        except OSError as error:
            raise DatasetError(f"{part}: it cannot be written ({error})") from error


def _transfer(session: requests.Session, url: str, part: Path, timeout_s: float, max_bytes: int) -> Iterator[Progress]:
    """One attempt, from the end of `part`."""
    tag = part.with_name(f"{part.name}.tag")
    start = _size(part)
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag.is_file():
            headers["If-Range"] = tag.read_text(encoding="utf-8")
    asking = _answer(lambda: session.get(url, headers=headers, stream=True, timeout=timeout_s))
    while True:
        try:
            next(asking)
        except StopIteration as stop:
            answer: requests.Response = stop.value
            break
        yield Progress(start, 0)
    with _let_go(answer) as response:
        if response.status_code == 416:
            if _total(response) == start:
                yield Progress(start, start)
                return
            part.unlink()  # longer than the file, or of another version: begin again
            raise _Broken("the partial file did not fit")
        if response.status_code in _TRY_AGAIN:
            raise _Broken(f"the server answered {response.status_code}")
        if response.status_code not in (200, 206):
            raise DatasetError(f"{url}: the server answered {response.status_code} {response.reason}")
        if response.status_code == 200:
            start = 0
        elif _first(response) != start:
            part.unlink()
            raise _Broken("the server sent another part than was asked for")
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if validator and not validator.startswith("W/"):  # a weak one cannot join parts
            tag.write_text(validator, encoding="utf-8")
        else:
            tag.unlink(missing_ok=True)
        yield from _write(response, part, start, max_bytes)


@contextmanager
def _let_go(response: requests.Response) -> Iterator[requests.Response]:
    """Close an answer in the end, without waiting for whoever still reads from it."""
    try:
        yield response
    finally:
        threading.Thread(target=response.close, daemon=True).start()


def _write(response: requests.Response, part: Path, start: int, max_bytes: int) -> Iterator[Progress]:
    total, done = _total(response), start
    _check_size(response.url, part, total, max_bytes)
    with part.open("ab" if start else "wb") as file:
        yield Progress(done, total)
        for chunk in _chunks(response):
            file.write(chunk)
            done += len(chunk)
            _check_size(response.url, part, done, max_bytes)
            yield Progress(done, total)
    if total and done < total:
        raise _Broken(f"the transfer ended after {done} of {total} bytes")


def _check_size(url: str, part: Path, size: int, max_bytes: int) -> None:
    """A server that sends more than can be meant would fill the disk."""
    if size > max_bytes:
        part.unlink(missing_ok=True)
        raise DatasetError(f"{url} sends more than the {max_bytes / 1e6:,.0f} MB that are expected; it was left")


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """What a server sends, and nothing (b"") every `_PAUSE_S` in which it sends nothing, so that one can cancel."""
    waiting: queue.Queue[bytes | BaseException | None] = queue.Queue(maxsize=8)
    stop = threading.Event()

    def put(item: bytes | BaseException | None) -> None:
        while not stop.is_set():
            try:
                return waiting.put(item, timeout=_PAUSE_S)
            except queue.Full:
                continue

    def receive() -> None:
        try:
            for chunk in response.iter_content(_CHUNK_BYTES):
                put(chunk)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:
            put(error)

    threading.Thread(target=receive, daemon=True).start()
    try:
        while True:
            try:
                item = waiting.get(timeout=_PAUSE_S)
            except queue.Empty:
                yield b""
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()


def _answer(ask: Callable[[], requests.Response]) -> Generator[None, None, requests.Response]:
    """The answer to a request, which a server may take its time for; yields while there is none."""
    answers: queue.SimpleQueue[requests.Response | BaseException] = queue.SimpleQueue()

    def wait() -> None:
        try:
            answers.put(ask())
        except BaseException as error:
            answers.put(error)

    threading.Thread(target=wait, daemon=True).start()
    while True:
        try:
            answer = answers.get(timeout=_PAUSE_S)
        except queue.Empty:
            yield
            continue
        if isinstance(answer, BaseException):
            raise answer
        return answer


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _total(response: requests.Response) -> int:
    """Bytes of the whole file, or 0 when the server does not say."""
    match = re.fullmatch(r"bytes [0-9*-]*/([0-9]{1,18})", response.headers.get("Content-Range", ""))
    if match:
        return int(match.group(1))
    length = response.headers.get("Content-Length", "")
    return int(length) if response.status_code == 200 and re.fullmatch("[0-9]{1,18}", length) else 0


def _first(response: requests.Response) -> int | None:
    """Position of the first byte of a partial answer."""
    stated = re.match(r"bytes ([0-9]{1,18})-", response.headers.get("Content-Range", ""))
    return int(stated.group(1)) if stated else None


def _cause(error: BaseException) -> str:
    """The innermost reason of a chain of errors, short enough for a message box."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return (str(error) or type(error).__name__)[:160]
