"""Downloads that the package needs, each with its pinned sha256: looked for on this machine first, then fetched.

The order: the folder that ``UNCOLLAPSE_DATA`` names (read only, laid out as `path` says), the cache, the mirrors.
``UNCOLLAPSE_OFFLINE=1`` forbids the mirrors.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.cache import cache_folder
from uncollapse.data.idx import read_idx
from uncollapse.data.limits import MEGA, reason
from uncollapse.errors import UserError, unknown
from uncollapse.files import readable
from uncollapse.text import clean
from uncollapse.text import size as size_text

BLOCK = 256 * 1024
SECONDS = 30.0  # without a byte, after which a mirror is given up


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file.

    Attributes:
        path: Where it lies below the data folder and below the cache.
        sha256: Of its content; of a ``.gz`` of the unpacked content, because mirrors pack differently.
        urls: Mirrors, all https, tried in this order.
        most_bytes: Largest file, and largest unpacked content, that is accepted.
    """

    path: str
    sha256: str
    urls: tuple[str, ...]
    most_bytes: int


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What one name fetches.

    Attributes:
        name: As in `uncollapse data fetch NAME`.
        title: What it is.
        licence: Under which it may be used.
        files: Its files.
    """

    name: str
    title: str
    licence: str
    files: tuple[Download, ...]


IDX_HASHES = {
    "mnist": {
        "train-images-idx3": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion-mnist": {
        "train-images-idx3": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
MIRRORS = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    "fashion-mnist": (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    ),
}
# Both mirrors hold the same bytes under other names.
INCEPTION = "inception-2015-12-05-6726825d.pth"
SPLITS = {"train": "train", "test": "t10k"}


def _idx_files(name: str) -> tuple[Download, ...]:
    return tuple(
        Download(
            path=f"{name}/{part}-ubyte.gz",
            sha256=sha256,
            urls=tuple(f"{mirror}{part}-ubyte.gz" for mirror in MIRRORS[name]),
            most_bytes=60 * MEGA,
        )
        for part, sha256 in IDX_HASHES[name].items()
    )


COLLECTIONS = {
    row.name: row
    for row in (
        Collection(
            name="mnist",
            title="70,000 handwritten digits of 28 x 28 pixels, 60,000 for training (LeCun, Cortes and Burges 1998)",
            licence="CC BY-SA 3.0",
            files=_idx_files("mnist"),
        ),
        Collection(
            name="fashion-mnist",
            title="70,000 grey articles of clothing of 28 x 28 pixels, 60,000 for training (Xiao et al. 2017)",
            licence="MIT",
            files=_idx_files("fashion-mnist"),
        ),
        Collection(
            name="inception",
            title="weights of the Inception-v3 of the published FID and KID, from TensorFlow's (Szegedy et al. 2015)",
            licence="Apache-2.0",
            files=(
                Download(
                    path=f"inception/pt_{INCEPTION}",
                    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
                    urls=(
                        f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_{INCEPTION}",
                        f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-{INCEPTION}",
                    ),
                    most_bytes=95_628_359,
                ),
            ),
        ),
    )
}


def fetch(name: str, *, progress: Callable[[str, int, int | None], None] | None = None) -> list[Path]:
    """Makes sure that all files of a collection lie on this machine, whole and unchanged.

    Args:
        name: One of `COLLECTIONS`.
        progress: Called while downloading with the file's name, the bytes so far, and the bytes in all if known.

    Returns:
        Where the files lie, in the collection's order.

    Raises:
        UserError: No such name, a file of the data folder that is not what it should be, no connection, offline, or a
            cache that cannot be written.
    """
    if name not in COLLECTIONS:
        raise unknown("collection", name, COLLECTIONS)
    return [locate(download, progress=progress) for download in COLLECTIONS[name].files]


def locate(download: Download, *, progress: Callable[[str, int, int | None], None] | None = None) -> Path:
    """One file, from the data folder, the cache or a mirror; verified once in the life of this process.

    Raises:
        UserError: As `fetch`.
    """
    given = os.environ.get("UNCOLLAPSE_DATA")
    if given and readable(Path(given) / download.path):
        file = Path(given) / download.path
        if not _verified(file, download):
            raise UserError(
                f"{clean(file)} is not the published file (its sha256 differs); replace it, or point UNCOLLAPSE_DATA "
                "elsewhere."
            )
        return file
    file = cache_folder() / download.path
    if readable(file):
        if _verified(file, download):
            return file
        with contextlib.suppress(OSError):  # damaged: fetched again
            file.unlink()
    _download(download, file, progress)
    return file


def dataset(name: str, split: str = "train") -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """MNIST or Fashion-MNIST in memory, fetched where it is missing.

    Args:
        name: "mnist" or "fashion-mnist".
        split: "train" (60,000 images) or "test" (10,000).

    Returns:
        Images uint8 (n, 28, 28) and labels int64 (n,).

    Raises:
        UserError: No such name or split, or as `fetch`.
    """
    if name not in IDX_HASHES:
        raise unknown("data set", name, IDX_HASHES)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    wanted = [row for row in COLLECTIONS[name].files if Path(row.path).name.startswith(SPLITS[split])]
    images, labels = (np.asarray(read_idx(locate(row), clean(row.path))) for row in wanted)
    return np.array(images, dtype=np.uint8), labels.astype(np.int64)


def _verified(file: Path, download: Download) -> bool:
    try:
        status = file.stat()
        if status.st_size > download.most_bytes:
            return False
        return _sha256(file, status.st_mtime_ns, status.st_size, download.most_bytes) == download.sha256
    except (OSError, EOFError, zlib.error):
        return False


@cache
def _sha256(file: Path, changed: int, length: int, most: int) -> str | None:
    """The hash of a file as it was at a time; None where its content is longer than `most`."""
    del changed, length  # they make a changed file another entry of the cache
    digest, seen = hashlib.sha256(), 0
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
        while block := stream.read(BLOCK):
            seen += len(block)
            if seen > most:
                return None
            digest.update(block)
    return digest.hexdigest()


def _download(download: Download, file: Path, progress: Callable[[str, int, int | None], None] | None) -> None:
    """Tries the mirrors in turn; what is not whole and right never gets the file's name."""
    if os.environ.get("UNCOLLAPSE_OFFLINE", "0") not in ("", "0"):
        raise UserError(
            f"{download.path} is not on this machine and UNCOLLAPSE_OFFLINE forbids fetching it; put it into a folder "
            "and set UNCOLLAPSE_DATA to that, or unset UNCOLLAPSE_OFFLINE."
        )
    failures = []
    temporary = file.with_name(f".{file.stem}.{os.getpid()}.tmp{file.suffix}")
    _check_writable(temporary)
    for url in download.urls:
        try:
            _copy(url, temporary, download, progress)
            if not _verified(temporary, download):
                raise OSError("its sha256 differs from the published one")
            temporary.replace(file)
            return
        except (OSError, HTTPException, ValueError, EOFError, zlib.error) as error:
            failures.append(f"{url.split('/')[2]}: {reason(error)}")
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    raise UserError(
        f"{download.path} cannot be fetched ({'; '.join(failures)}); connect to the network, or put the file into a "
        "folder and set UNCOLLAPSE_DATA to that."
    )


def _check_writable(temporary: Path) -> None:
    """Makes the folder and the empty file of a download, so that no mirror is blamed where these cannot be made."""
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as error:
        raise UserError(
            f"Nothing can be fetched into {clean(temporary.parent)}: this folder cannot be written ({reason(error)}); "
            "set UNCOLLAPSE_CACHE to a folder that can."
        ) from error


def _copy(url: str, file: Path, download: Download, progress: Callable[[str, int, int | None], None] | None) -> None:
    """Copies what a mirror gives into a file and on to the disk, at most `most_bytes` of it."""
    if not url.startswith("https://"):
        raise ValueError("only https is used")
    with opener().open(url, timeout=SECONDS) as answer, file.open("wb") as stream:
        announced = answer.headers.get("Content-Length")
        total = int(announced) if announced and announced.isdigit() else None
        seen = 0
        while block := answer.read(BLOCK):
            seen += len(block)
            if max(seen, total or 0) > download.most_bytes:
                raise OSError(f"it is larger than {size_text(download.most_bytes)}")
            stream.write(block)
            if progress is not None:
                progress(download.path, seen, total)
        if total is not None and seen != total:
            raise OSError("the connection ended early")
        stream.flush()
        os.fsync(stream.fileno())


class OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirects from https to https only."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        """The next request, or an error."""
        if not newurl.startswith("https://"):
            raise OSError("it redirects to a place without https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener() -> Any:
    """What opens addresses; tests put a stand-in here."""
    return urllib.request.build_opener(OnlyHttps())
