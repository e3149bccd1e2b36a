"""Servers on this machine that answer as no server should; a download ends in a file, an error, or a cancel in time."""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from napari_mitosis.datasets.http import fetch
from napari_mitosis.errors import MitosisError

from .mutate import NUMBERS, damaged
from .worker import HANG_S, Tally

BODY = bytes(range(256)) * 40
MOST_BYTES = 20_000
CANCEL_S = 5.0
"""For a busy machine; a cancel that waited for the server would take minutes."""
PATIENCE_S = 0.3
AT_ONCE = 6


def script(rng: random.Random) -> list[bytes | float]:
    """What a server sends, and where it waits."""
    length = rng.choice((str(len(BODY)), str(rng.choice(NUMBERS)), "²", "-1", "9" * 400, ""))
    lines = [
        rng.choice(("HTTP/1.1 200 OK", "HTTP/1.1 206 Partial", "HTTP/1.1 416 No", "HTTP/1.1 503 Busy", "HTTP/9 x"))
    ]
    lines += [f"Content-Length: {length}"] * rng.randint(0, 2)
    if rng.random() < 0.3:
        lines.append(
            rng.choice(("Transfer-Encoding: chunked", "Content-Encoding: gzip", "ETag: \x00", "X: " + "y" * 70_000))
        )
    if rng.random() < 0.3:
        lines.append(f"Content-Range: bytes {rng.choice(NUMBERS)}-{rng.choice(NUMBERS)}/{rng.choice(('*', '²', '5'))}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
    pieces: list[bytes | float] = [damaged(head, rng) if rng.random() < 0.3 else head]
    kind = rng.randrange(5)
    if kind == 0:
        pieces += [BODY]
    elif kind == 1:
        pieces += [BODY] * 50  # five hundred kilobytes where twenty may come
    elif kind == 2:
        pieces += list(itertools.chain.from_iterable((b"x", 0.05) for _ in range(100)))
    elif kind == 3:
        pieces += [BODY[: rng.randrange(len(BODY))], 60.0]
    else:
        pieces += [damaged(BODY, rng)]
    return pieces


@contextlib.contextmanager
def serving(pieces: Iterable[bytes | float]) -> Iterator[str]:
    """A server on this machine that sends these bytes, and waits for these seconds, to whoever asks."""
    listener = socket.create_server(("127.0.0.1", 0))
    sent, over = list(itertools.islice(pieces, 2000)), threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            for piece in sent:
                if isinstance(piece, bytes):
                    connection.sendall(piece)
                elif over.wait(piece):
                    return

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/a"
    finally:
        over.set()
        listener.close()


def one(seed: int, folder: Path) -> str:
    """Fetch from one such server, and cancel when it takes long; what is wrong, or nothing."""
    part = folder / f"{seed}.part"
    began = time.monotonic()
    with serving(script(random.Random(f"servers {seed}"))) as url:
        job = fetch(url, part, attempts=2, retry_wait_s=0.01, timeout_s=5, max_bytes=MOST_BYTES)
        try:
            for _ in job:
                if time.monotonic() - began > PATIENCE_S:
                    break
            asked = time.monotonic()
            job.close()  # type: ignore[attr-defined]
            if time.monotonic() - asked > CANCEL_S:
                return f"a cancel took {time.monotonic() - asked:.1f} s"
        except MitosisError:
            pass
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
    if part.is_file() and part.stat().st_size > MOST_BYTES + 2**14:
        return f"{part.stat().st_size} bytes were taken"
    return "" if time.monotonic() - began < HANG_S else "no end"


def attack_servers(count: int, seed: int = 0) -> Tally:
    """So many servers, some at a time: most of their time is waiting."""
    tally = Tally()

    def timed(number: int) -> tuple[int, str, float]:
        began = time.monotonic()
        return number, one(number, Path(folder)), time.monotonic() - began

    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        for number, wrong, seconds in pool.map(timed, range(seed, seed + count)):
            tally.tried += 1
            tally.longest_s = max(tally.longest_s, seconds)
            tally.wrong += [f"servers {number}: {wrong}"] if wrong else []
    tally.ends["ended"] = tally.survived
    return tally
