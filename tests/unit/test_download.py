"""Downloads against a real HTTP server on this machine: ranges, broken transfers, hashes, no network."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_mitosis.datasets import read_midog
from napari_mitosis.datasets.download import download_midogpp, midogpp_files
from napari_mitosis.errors import Cancelled, DatasetError
from napari_mitosis.jobs import Progress, run

BREAST = "human breast cancer"
CHUNK = 65_536  # bytes that the client takes at a time: what came of a torn chunk is fetched again


def tiff_bytes(seed: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (500, 700, 3), dtype=np.uint8)
    tifffile.imwrite(stream, pixels, photometric="rgb", tile=(64, 64), resolution=(40000, 40000), resolutionunit=3)
    return stream.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `contents` by path with Range and ETag; `cut` ends the next answers after so many bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents: dict[str, bytes] = {}
        self.cut: list[int] = []
        self.status: list[int] = []
        self.ranges = True
        self.log: list[tuple[str, str | None, int]] = []  # path, Range, bytes sent

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content = self.server.contents.get(self.path)
        asked = self.headers.get("Range")
        if self.server.status:
            return self._only(self.server.status.pop(0))
        if content is None:
            return self._only(404)
        tag = f'"{hashlib.sha256(content).hexdigest()[:12]}"'
        start = 0
        if asked and self.server.ranges and self.headers.get("If-Range", tag) == tag:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(content):
                self.server.log.append((self.path, asked, 0))
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return None
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        body = content[start:]
        if self.server.cut:
            body = body[: self.server.cut.pop(0)]
        self.server.log.append((self.path, asked, len(body)))
        self.wfile.write(body)
        return None

    def _only(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as one:
        for seed, entry in enumerate(midogpp_files(BREAST)[:3]):
            one.contents[f"/files/{entry.file_id}"] = tiff_bytes(seed)
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def get(server: Server, folder: Path, count: int = 1, **options: object) -> list[Path]:
    return run(job(server, folder, count), **options)


def job(server: Server, folder: Path, count: int = 1, attempts: int = 3, annotations: bool = False):
    return download_midogpp(
        folder,
        BREAST,
        count,
        base_url=server.url + "/files/{id}",
        annotations_url=f"{server.url}/MIDOG.json" if annotations else None,
        timeout_s=5,
        attempts=attempts,
        retry_wait_s=0.05,
    )


def contents(server: Server) -> list[bytes]:
    return [content for path, content in server.contents.items() if path.startswith("/files/")]


def test_files_arrive_with_progress_and_hashes(server: Server, tmp_path: Path) -> None:
    seen: list[Progress] = []
    paths = get(server, tmp_path / "new" / "folder", 3, on_progress=seen.append)
    assert [path.name for path in paths] == [entry.file_name for entry in midogpp_files(BREAST)[:3]]
    assert [path.read_bytes() for path in paths] == contents(server)
    kept = json.loads((tmp_path / "new" / "folder" / "hashes.json").read_text())
    assert kept == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    last = [progress for progress in seen if progress.message == f"{paths[1].name} (2 of 3)"]
    assert last[-1].done == last[-1].total == len(contents(server)[1])
    assert {path.name for path in paths[0].parent.iterdir()} == {"hashes.json", *(path.name for path in paths)}


def test_a_second_run_fetches_nothing(server: Server, tmp_path: Path) -> None:
    first = get(server, tmp_path, 2)
    server.log.clear()
    assert get(server, tmp_path, 2) == first
    assert server.log == []


def test_a_broken_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut = [4 * CHUNK, 3 * CHUNK]
    (path,) = get(server, tmp_path)
    assert path.read_bytes() == contents(server)[0]
    assert [asked for _, asked, _ in server.log] == [None, f"bytes={4 * CHUNK}-", f"bytes={7 * CHUNK}-"]
    assert sum(sent for *_, sent in server.log) == len(contents(server)[0])


def test_giving_up_keeps_the_part_for_the_next_run(server: Server, tmp_path: Path) -> None:
    server.cut = [6 * CHUNK]
    with pytest.raises(DatasetError, match="the same command goes on where this one stopped"):
        run(job(server, tmp_path, attempts=1))
    assert not list(tmp_path.glob("*.tiff"))
    (path,) = get(server, tmp_path)
    assert server.log[-1][1] == f"bytes={6 * CHUNK}-"
    assert path.read_bytes() == contents(server)[0]


def test_cancelling_keeps_the_part_too(server: Server, tmp_path: Path) -> None:
    calls = iter(range(100))
    with pytest.raises(Cancelled):
        get(server, tmp_path, cancelled=lambda: next(calls) >= 3)
    (part,) = tmp_path.glob("*.part")
    size = part.stat().st_size
    assert 0 < size < len(contents(server)[0])
    get(server, tmp_path)
    assert server.log[-1][1] == f"bytes={size}-"


def test_a_file_that_changed_on_the_server_is_not_joined_to_the_old_part(server: Server, tmp_path: Path) -> None:
    server.cut = [6 * CHUNK]
    with pytest.raises(DatasetError):
        run(job(server, tmp_path, attempts=1))
    key = next(iter(server.contents))
    server.contents[key] = tiff_bytes(99)
    (path,) = get(server, tmp_path)
    assert path.read_bytes() == server.contents[key]


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cut = [4 * CHUNK]
    (path,) = get(server, tmp_path)
    assert path.read_bytes() == contents(server)[0]
    assert server.log[-1][2] == len(contents(server)[0])


def test_a_complete_part_is_taken_and_an_overlong_one_is_not(server: Server, tmp_path: Path) -> None:
    name = midogpp_files(BREAST)[0].file_name
    for extra in (b"", b"too much"):
        (tmp_path / f"{name}.part").write_bytes(contents(server)[0] + extra)
        (path,) = get(server, tmp_path)
        assert path.read_bytes() == contents(server)[0]
        path.unlink()


def test_a_damaged_file_is_fetched_again(server: Server, tmp_path: Path) -> None:
    (path,) = get(server, tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    get(server, tmp_path)
    assert path.read_bytes() == contents(server)[0]


def test_a_file_that_differs_from_its_recorded_hash_is_refused(server: Server, tmp_path: Path) -> None:
    (path,) = get(server, tmp_path)
    path.unlink()
    server.contents[next(iter(server.contents))] = tiff_bytes(99)
    with pytest.raises(DatasetError, match=r"differs from the file recorded in hashes\.json"):
        get(server, tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["hashes.json"]


def test_a_page_of_text_does_not_pass_as_an_image(server: Server, tmp_path: Path) -> None:
    server.contents[next(iter(server.contents))] = b"<html>Please log in</html>"
    with pytest.raises(DatasetError, match="cannot be used: it is not a TIFF"):
        get(server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_server_errors(server: Server, tmp_path: Path) -> None:
    server.status = [503, 500]
    (path,) = get(server, tmp_path)
    assert path.read_bytes() == contents(server)[0]
    server.contents.clear()
    path.unlink()
    with pytest.raises(DatasetError, match="the server answered 404"):
        get(server, tmp_path)


def test_without_a_network_the_error_is_clear(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline = download_midogpp(
        tmp_path,
        BREAST,
        1,
        base_url=f"http://127.0.0.1:{port}/{{id}}",
        annotations_url=None,
        attempts=2,
        retry_wait_s=0.05,
    )
    with pytest.raises(DatasetError, match=r"cannot be fetched \(.*\)\. Check the network connection"):
        run(offline)


def test_images_and_annotations_open_as_samples(server: Server, tmp_path: Path) -> None:
    entry = midogpp_files(BREAST)[0]
    document = {
        "images": [{"id": 1, "file_name": entry.file_name, "width": 700, "height": 500}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [575, 75, 625, 125]}],
    }
    server.contents["/MIDOG.json"] = json.dumps(document).encode()
    run(job(server, tmp_path, annotations=True))
    (sample,) = read_midog(tmp_path)  # hashes.json beside it is no data set
    assert sample.centroids_yx().tolist() == [[100.0, 600.0]]
    assert sample.field.mpp == pytest.approx(0.25)


def test_bad_requests_and_a_bad_hash_file(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no tumour type 'frog'; it has: canine cutaneous mast cell tumor"):
        midogpp_files("frog")
    with pytest.raises(DatasetError, match="must be 1 or more"):
        get(server, tmp_path, 0)
    (tmp_path / "hashes.json").write_text("{")
    with pytest.raises(DatasetError, match=r"hashes\.json: expected an object"):
        get(server, tmp_path)


def test_the_shipped_table() -> None:
    every = midogpp_files()
    assert len(every) == len({entry.file_id for entry in every}) == len({entry.file_name for entry in every}) == 503
    assert sum(entry.mitoses for entry in every) == 11_937  # as published
    assert len(midogpp_files(" Human Breast Cancer ")) == 150
    assert all(min(entry.width, entry.height) > 1000 for entry in every)
