"""Fetch MIDOG++ images and annotations from their public archive.

Figures and file ids of the images stand in ``midogpp.csv``, which ships with the package.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path

from pydantic import TypeAdapter

from ..errors import DatasetError, FieldError, brief
from ..fields.pixels import open_pixels
from ..files import write_whole
from ..jobs import Job, Progress
from .http import fetch

MIDOGPP_IMAGES_URL = "https://figshare.com/ndownloader/files/{id}"
MIDOGPP_ANNOTATIONS_URL = "https://raw.githubusercontent.com/DeepMicroscopy/MIDOGpp/main/databases/MIDOG%2B%2B.json"
ANNOTATIONS_NAME = "MIDOG++.json"
HASHES_NAME = "hashes.json"

_MAX_ANNOTATIONS_BYTES = 2**28
_HASHES = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class MidogFile:
    """One image of MIDOG++ (CC0 or CC BY 4.0; Aubreville et al., Scientific Data 2023).

    Attributes
    ----------
    file_id : int
        In the archive.
    file_name : str
        Such as ``001.tiff``.
    width, height : int
        In pixels.
    tumor_type : str
        Such as ``human breast cancer``.
    mitoses, mimics : int
        Annotated figures.
    """

    file_id: int
    file_name: str
    width: int
    height: int
    tumor_type: str
    mitoses: int
    mimics: int


def midogpp_files(tumour: str | None = None) -> list[MidogFile]:
    """List the images of MIDOG++ in the order of their names.

    Parameters
    ----------
    tumour : str, optional
        Only this tumour type, whatever the case of its letters.

    Raises
    ------
    DatasetError
        When there is no such tumour type; the message lists them.
    """
    text = files(__package__).joinpath("midogpp.csv").read_text(encoding="utf-8")
    every = [
        MidogFile(
            int(row["file_id"]),
            row["file_name"],
            int(row["width"]),
            int(row["height"]),
            row["tumor_type"],
            int(row["mitoses"]),
            int(row["mimics"]),
        )
        for row in csv.DictReader(text.splitlines())
    ]
    if tumour is None:
        return every
    wanted = tumour.strip().casefold()
    chosen = [entry for entry in every if entry.tumor_type.casefold() == wanted]
    if not chosen:
        types = ", ".join(sorted({entry.tumor_type for entry in every}))
        raise DatasetError(f"MIDOG++ has no tumour type '{tumour}'; it has: {types}")
    return chosen


def download_midogpp(
    folder: Path | str,
    tumour: str | None = None,
    count: int | None = None,
    *,
    base_url: str = MIDOGPP_IMAGES_URL,
    annotations_url: str | None = MIDOGPP_ANNOTATIONS_URL,
    timeout_s: float = 30.0,
    attempts: int = 4,
    retry_wait_s: float = 2.0,
) -> Job[list[Path]]:
    """Fetch MIDOG++ images and the annotations, so that `read_midog` can open the folder.

    A file that is there is not fetched again; an interrupted one goes on where it stopped, in this job or
    the next, from ``NAME.part``. The sha256 of each file is kept in ``hashes.json`` and checked from then on.

    Parameters
    ----------
    folder : path-like
        Created when missing.
    tumour : str, optional
        One tumour type; all when None.
    count : int, optional
        The first so many images; all when None.
    base_url : str
        With ``{id}`` where the file's id goes.
    annotations_url : str or None
        Of the JSON file; None leaves it out.
    timeout_s : float
        Of silence of the server, in seconds.
    attempts : int
        How often a broken transfer is resumed before giving up.
    retry_wait_s : float
        Pause before the second attempt, in seconds; it doubles each time.

    Yields
    ------
    Progress
        In bytes of the current file; the message names it.

    Returns
    -------
    list of Path
        The images.

    Raises
    ------
    DatasetError
        When the network, the server or the disk fails, a file is not what it should be, or the tumour type
        or count is wrong. What was fetched stays.
    """
    entries = midogpp_files(tumour)
    if count is not None:
        if count < 1:
            raise DatasetError(f"the number of images must be 1 or more, not {count}")
        entries = entries[:count]
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{root}: the folder cannot be made ({error})") from error
    get = partial(fetch, timeout_s=timeout_s, attempts=attempts, retry_wait_s=retry_wait_s)
    if annotations_url is not None:
        text = partial(get, max_bytes=_MAX_ANNOTATIONS_BYTES)
        yield from _keep(root, ANNOTATIONS_NAME, annotations_url, text, "annotations")
    paths = []
    for number, entry in enumerate(entries, start=1):
        what = f"{number} of {len(entries)}"
        url = base_url.format(id=entry.file_id)
        image = partial(get, max_bytes=_most_bytes(entry))
        paths.append((yield from _keep(root, entry.file_name, url, image, what)))
    return paths


def _most_bytes(entry: MidogFile) -> int:
    """Of its image: no compression, an alpha channel, a pyramid, and something for the headers."""
    return entry.width * entry.height * 4 * 4 // 3 + 2**20


def _keep(root: Path, name: str, url: str, get: partial[Iterator[Progress]], what: str) -> Job[Path]:
    """Fetch one file unless it is there, check it, and put it in its place in one step."""
    import pooch  # it imports an HTTP client

    target, part = root / name, root / f"{name}.part"
    known = _hashes(root).get(name)
    yield Progress(0, 0, f"{name} ({what})")
    if target.is_file():
        digest = pooch.file_hash(target, alg="sha256")
        if known is None or digest == known:
            _remember(root, name, digest)
            return target
    for progress in get(url, part):
        yield Progress(progress.done, progress.total, f"{name} ({what})")
    _check_content(part, name, url)
    digest = pooch.file_hash(part, alg="sha256")
    pooch.get_logger().setLevel("WARNING")  # its "Downloading ..." lines would break into a progress bar
    try:
        # pooch verifies the hash and puts the file in its place; it cannot resume or report to a job itself.
        pooch.retrieve(url, f"sha256:{known or digest}", fname=name, path=root, downloader=partial(_hand_over, part))
        _remember(root, name, digest)
    except ValueError as error:
        part.unlink(missing_ok=True)
        raise DatasetError(
            f"{name}: what {url} sends now differs from the file recorded in {HASHES_NAME}; "
            "remove its entry there to accept the new file"
        ) from error
    except OSError as error:
        raise DatasetError(f"{target}: it cannot be written ({error})") from error
    return target


def _hand_over(part: Path, url: str, output_file: str, pooch: object) -> None:
    """A downloader in the sense of pooch: the file has been fetched already."""
    os.replace(part, output_file)


def _check_content(part: Path, name: str, url: str) -> None:
    """A login page or an error page must not pass as an image."""
    try:
        if name.endswith(".json"):
            json.loads(part.read_text(encoding="utf-8"))
        else:
            open_pixels(part)
    except (FieldError, ValueError, RecursionError) as error:
        reason = error.reason if isinstance(error, FieldError) else "it is not JSON"
        part.unlink(missing_ok=True)
        raise DatasetError(f"{name}: {url} sent something that cannot be used: {reason}") from error


def _hashes(root: Path) -> dict[str, str]:
    source = root / HASHES_NAME
    if not source.is_file():
        return {}
    try:
        return _HASHES.validate_json(source.read_bytes())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{source}: expected an object of file name and sha256 ({brief(error)})") from error


def _remember(root: Path, name: str, digest: str) -> None:
    hashes = _hashes(root)
    if hashes.get(name) == digest:
        return
    write_whole(root / HASHES_NAME, json.dumps({**hashes, name: digest}, indent=1, sort_keys=True))
