"""A PostgreSQL server is killed, its network is cut or stands still, while two readers work on one field."""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from tests.e2e.test_journal_postgres import Server, _programs

from napari_mitosis.annotations.notebook import Notebook
from napari_mitosis.annotations.store import Journal
from napari_mitosis.errors import MitosisError
from napari_mitosis.fields.field import Field

from .worker import Tally

BACK_S = 60.0


class Proxy:
    """Between the program and the server, through sockets in the file system; it can be cut, and stand still."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self._server = str(server / ".s.PGSQL.5432")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self._open: list[socket.socket] = []
        self.up, self.flows = True, threading.Event()
        self.flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection, and take no new one."""
        self.up = False
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.socket(socket.AF_UNIX)
            try:
                if not self.up:
                    raise OSError
                far.connect(self._server)
            except OSError:
                near.close()
                continue
            self._open += [near, far]
            threading.Thread(target=self._join, args=(near, far), daemon=True).start()

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        with near, far, selectors.DefaultSelector() as ready, contextlib.suppress(OSError, ValueError):
            for one, other in ((near, far), (far, near)):
                ready.register(one, selectors.EVENT_READ, other)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
                    self.flows.wait()
                    if not data:
                        return
                    key.data.sendall(data)


def act(book: Notebook, rng: random.Random) -> None:
    """Something that a reader does."""
    figures = list(book.figures["figure"])
    kind = rng.choice(("add", "add", "move", "relabel", "delete", "undo", "redo"))
    with contextlib.suppress(MitosisError):  # the other reader was quicker
        if kind == "add" or not figures:
            book.add(rng.uniform(0, 99), rng.uniform(0, 99))
        elif kind == "move":
            book.move(rng.choice(figures), rng.uniform(0, 99), rng.uniform(0, 99))
        elif kind == "relabel":
            book.relabel(rng.choice(figures), rng.choice(("mitosis", "mimic", "unsure")))
        elif kind == "delete":
            book.delete(rng.choice(figures))
        else:
            getattr(book, kind)()


def one_round(server: Server, proxy: Proxy, books: list[Notebook], rng: random.Random) -> str:
    """Trouble in the middle of work, and its end; what is wrong then."""
    trouble = rng.choice(("kill", "cut", "still"))
    for number in range(rng.randint(4, 8)):
        if number == 2:
            if trouble == "kill":
                server.stop()
            elif trouble == "cut":
                proxy.cut()
            else:
                proxy.flows.clear()
        act(rng.choice(books), rng)
    if trouble == "kill":
        server.start()
    proxy.up = True
    proxy.flows.set()
    end = time.monotonic() + BACK_S
    while any(book.pending or book.warning for book in books) and time.monotonic() < end:
        for book in books:
            book.retry()
        time.sleep(0.05)
    if any(book.pending for book in books):
        waiting = ", ".join(f"{book.reader}: {book.pending} ({book.warning[:120]})" for book in books)
        return f"after '{trouble}' actions still wait: {waiting}"
    for book in books:
        book.refresh()
    actions = books[0].journal.actions(books[0].field.digest)
    if len({action.id for action in actions}) != len(actions):
        return "an action is stored twice"
    seen = [sorted(map(tuple, book.figures[["figure", "y_px", "x_px", "label"]].to_numpy())) for book in books]
    return "" if seen[0] == seen[1] else f"after '{trouble}' two readers see different figures"


def attack_postgres(rounds: int, seed: int = 0) -> Tally:
    """So many rounds on one private server; none where no server is installed."""
    tally, programs = Tally(), _programs()
    if programs is None:
        tally.ends["no server is installed"] = 1
        return tally
    folder, between = (Path(tempfile.mkdtemp(prefix=prefix)) for prefix in ("pg", "px"))
    os.environ["XDG_STATE_HOME"] = str(between / "state")
    server = Server(programs, folder)
    server.start()
    try:
        with server.connect("postgres") as connection:
            connection.execute("CREATE DATABASE attacked")
        proxy = Proxy(between, folder)
        url = f"postgresql://reader@/attacked?host={between}"
        field = Field.from_array(np.zeros((100, 100, 3), np.uint8), 0.25, "attacked")
        books = [Notebook(Journal(url), field, reader) for reader in ("ann", "bob")]
        for number in range(rounds):
            began = time.monotonic()
            wrong = one_round(server, proxy, books, random.Random(f"postgres {seed} {number}"))
            tally.tried += 1
            tally.longest_s = max(tally.longest_s, time.monotonic() - began)
            tally.wrong += [f"postgres {seed} {number}: {wrong}"] if wrong else []
        tally.ends["actions kept"] = len(books[0].journal.actions())
    finally:
        server.stop()
        shutil.rmtree(folder)
        shutil.rmtree(between, ignore_errors=True)
    return tally
