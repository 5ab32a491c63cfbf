"""Downloads against a stand-in for the network: urllib's own machinery with a handler that answers from a table."""

from __future__ import annotations

import email.message
import gzip
import hashlib
import io
import struct
import urllib.request
import urllib.response
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from uncollapse.data import fetch as module
from uncollapse.data.fetch import COLLECTIONS, Collection, Download, OnlyHttps, dataset, fetch, locate
from uncollapse.errors import UserError

CONTENT = struct.pack(">HBB3I", 0, 8, 3, 2, 3, 3) + bytes(range(18))
PACKED = gzip.compress(CONTENT)
FILE = Download(
    path="set/a-images-idx3-ubyte.gz",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    urls=("https://one.example/a.gz", "https://two.example/a.gz"),
    most_bytes=1000,
)

Answer = tuple[int, dict[str, str], bytes]


class Net:
    """What the stand-in answers, and what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | OSError] = {}
        self.asked: list[str] = []

    def opener(self) -> urllib.request.OpenerDirector:
        net = self

        class Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
            def https_open(self, req: urllib.request.Request) -> object:  # type: ignore[override]
                return net.answer(req)

            http_open = https_open  # type: ignore[assignment]

        return urllib.request.build_opener(OnlyHttps(), Handler())

    def answer(self, request: urllib.request.Request) -> object:
        url = request.full_url
        self.asked.append(url)
        found = self.answers.get(url, OSError(111, "Connection refused"))
        if isinstance(found, OSError):
            raise found
        code, headers, body = found
        message = email.message.Message()
        for name, value in headers.items():
            message[name] = value
        response = urllib.response.addinfourl(io.BytesIO(body), message, url, code)
        response.msg = "answer"  # type: ignore[attr-defined]
        return response


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Net:
    made = Net()
    monkeypatch.setattr(module, "opener", made.opener)
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("UNCOLLAPSE_DATA", raising=False)
    monkeypatch.delenv("UNCOLLAPSE_OFFLINE", raising=False)
    monkeypatch.setitem(COLLECTIONS, "set", Collection(name="set", title="", licence="", files=(FILE,)))
    return made


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_download_is_verified_kept_and_not_repeated(net: Net, tmp_path: Path) -> None:
    net.answers[FILE.urls[0]] = (200, {"Content-Length": str(len(PACKED))}, PACKED)
    seen: list[tuple[str, int, int | None]] = []
    (file,) = fetch("set", progress=lambda *what: seen.append(what))
    assert file.read_bytes() == PACKED
    assert seen == [(FILE.path, len(PACKED), len(PACKED))]
    assert fetch("set") == [file]
    assert net.asked == [FILE.urls[0]]
    assert tree(tmp_path / "cache") == [FILE.path]


def test_the_hash_is_of_the_content_however_it_is_packed(net: Net) -> None:
    net.answers[FILE.urls[0]] = (200, {}, gzip.compress(CONTENT, compresslevel=1, mtime=12345))
    assert gzip.decompress(locate(FILE).read_bytes()) == CONTENT


def test_the_second_mirror_where_the_first_fails_in_any_way(net: Net, tmp_path: Path) -> None:
    for first in (
        OSError(111, "Connection refused"),
        (404, {}, b"not here"),
        (200, {}, b"<html>a page instead of the file"),
        (200, {}, gzip.compress(CONTENT + b"x")),
        (200, {"Content-Length": "5000"}, PACKED),
        (200, {"Content-Length": "200"}, PACKED),
        (200, {}, PACKED[:-10]),
        (200, {}, bytes(2000)),
        (302, {"Location": "http://one.example/a.gz"}, b""),
        (302, {"Location": "ftp://one.example/a.gz"}, b""),
        (302, {"Location": "file:///etc/passwd"}, b""),
    ):
        net.answers = {FILE.urls[0]: first, FILE.urls[1]: (200, {}, PACKED)}
        net.asked.clear()
        file = locate(FILE)
        assert file.read_bytes() == PACKED
        assert net.asked == list(FILE.urls)
        assert tree(tmp_path / "cache") == [FILE.path]
        file.unlink()


def test_a_redirect_within_https_is_followed(net: Net) -> None:
    net.answers[FILE.urls[0]] = (302, {"Location": "https://far.example/a.gz"}, b"")
    net.answers["https://far.example/a.gz"] = (200, {}, PACKED)
    assert locate(FILE).read_bytes() == PACKED


def test_when_every_mirror_fails_the_sentence_names_them_all(net: Net, tmp_path: Path) -> None:
    net.answers = {
        FILE.urls[0]: (302, {"Location": "http://one.example/a.gz"}, b""),
        FILE.urls[1]: (200, {}, gzip.compress(b"other")),
    }
    with pytest.raises(
        UserError, match=r"cannot be fetched \(one.example: .*without https; two.example: .*sha256 differs.*\)"
    ):
        locate(FILE)
    assert tree(tmp_path) == []


def test_a_bomb_is_not_unpacked_beyond_its_limit(net: Net) -> None:
    bomb = gzip.compress(bytes(500_000))
    assert len(bomb) < FILE.most_bytes
    net.answers = {url: (200, {}, bomb) for url in FILE.urls}
    with pytest.raises(UserError, match="sha256 differs"):
        locate(FILE)


def test_addresses_without_https_are_never_asked(net: Net) -> None:
    with pytest.raises(UserError, match="only https is used"):
        locate(replace(FILE, urls=("http://one.example/a.gz",)))
    assert net.asked == []
    for collection in COLLECTIONS.values():
        for download in collection.files:
            assert download.urls
            assert all(url.startswith("https://") for url in download.urls)
            assert len(download.sha256) == 64


def test_offline_forbids_the_network(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCOLLAPSE_OFFLINE", "1")
    with pytest.raises(
        UserError, match="UNCOLLAPSE_OFFLINE forbids fetching it; put it into a folder and set UNCOLLAPSE_DATA"
    ):
        fetch("set")
    assert net.asked == []
    monkeypatch.setenv("UNCOLLAPSE_OFFLINE", "0")
    net.answers[FILE.urls[0]] = (200, {}, PACKED)
    fetch("set")
    monkeypatch.setenv("UNCOLLAPSE_OFFLINE", "1")
    assert len(fetch("set")) == 1  # what is there may be used


def test_the_data_folder_comes_first_and_is_never_written(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "data" / FILE.path
    file.parent.mkdir(parents=True)
    file.write_bytes(PACKED)
    monkeypatch.setenv("UNCOLLAPSE_DATA", str(tmp_path / "data"))
    assert fetch("set") == [file]
    file.write_bytes(PACKED[:-1])
    with pytest.raises(UserError, match=r"is not the published file .its sha256 differs.; replace it"):
        fetch("set")
    assert file.read_bytes() == PACKED[:-1]
    assert net.asked == []
    assert not (tmp_path / "cache").exists()


def test_a_damaged_file_in_the_cache_is_fetched_again(net: Net, tmp_path: Path) -> None:
    net.answers[FILE.urls[0]] = (200, {}, PACKED)
    file = locate(FILE)
    file.write_bytes(PACKED[:-3])
    assert locate(FILE).read_bytes() == PACKED
    assert len(net.asked) == 2


def test_a_cache_that_cannot_be_written_is_one_sentence(net: Net, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    net.answers[FILE.urls[0]] = (200, {}, PACKED)
    with pytest.raises(UserError, match=r"fetched into .*set: this folder cannot be written \(.*UNCOLLAPSE_CACHE"):
        locate(FILE)
    assert net.asked == []  # no mirror is blamed
    (tmp_path / "cache").unlink()
    assert locate(FILE).read_bytes() == PACKED


def test_unknown_names() -> None:
    with pytest.raises(UserError, match="no collection 'mnits'; did you mean 'mnist'"):
        fetch("mnits")
    with pytest.raises(UserError, match="no data set 'cifar'"):
        dataset("cifar")
    with pytest.raises(UserError, match=r"no split 'valid'.*Known: test, train"):
        dataset("mnist", "valid")


def test_the_published_data_sets(data_folder: Path) -> None:
    assert data_folder.is_dir()
    for name, mean in (("mnist", 33.79), ("fashion-mnist", 73.15)):
        images, labels = dataset(name, "test")
        assert (images.shape, images.dtype, labels.dtype) == ((10_000, 28, 28), np.uint8, np.int64)
        assert images.mean() == pytest.approx(mean, abs=0.01)
        assert set(labels.tolist()) == set(range(10))
