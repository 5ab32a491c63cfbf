"""Files from others are data: nothing in them runs, leads elsewhere, exhausts the machine or drives the terminal.

One test or more for each rule of the security reference that concerns reading; the hostile files are made here. The
last test spoils valid files of every form: each must end in a reading or in one sentence.
"""

from __future__ import annotations

import ast
import copy
import importlib.metadata
import importlib.util
import io
import json
import os
import pickle
import random
import struct
import sys
import tarfile
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFile
from rich.console import Console
from tests.data.hostile import SUFFIXES, spoiled, valid_files
from tests.data.making import (
    dataset_json,
    encoded,
    everything,
    opened,
    pictures,
    write_folder,
    write_tar,
    write_zip,
)
from typer.testing import CliRunner

import uncollapse
from uncollapse.cli import app
from uncollapse.data import cache
from uncollapse.data.inspect import inspect
from uncollapse.doctor import examine
from uncollapse.errors import UserError
from uncollapse.experiments.packing import LOCK
from uncollapse.lease import LEASE
from uncollapse.networks.mlp import MLP
from uncollapse.parsing import MOST_BYTES, MOST_PLAN_BYTES
from uncollapse.report.load import load as load_report
from uncollapse.run import execute, make_spec
from uncollapse.sampling import write_samples

PACKAGE = Path(uncollapse.__file__).parent
X = pictures()
PNG = encoded(X[0])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder, home and temporary folder of their own, in which reading must leave nothing behind."""
    for name in ("here", "home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UNCOLLAPSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    yield tmp_path
    left = [
        path.relative_to(tmp_path) for name in ("here", "home", "temporary") for path in (tmp_path / name).rglob("*")
    ]
    assert not left


@pytest.fixture
def given(home: Path) -> Path:
    """Where a test puts the files that it reads."""
    (home / "given").mkdir()
    return home / "given"


def refusal(what: object, **options: object) -> str:
    """The one sentence with which something is refused."""
    with pytest.raises(UserError) as caught:
        everything(opened(what, **options))
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


class Bomb:
    """Unpickling this makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.marker),)


# Rules 1 to 3: weights and pickles


def test_rule_1_nothing_in_the_package_loads_pickles() -> None:
    """torch.load only with weights_only=True, numpy.load only with allow_pickle=False, no fallback, no unpickler."""
    wanted = {("torch", "load"): ("weights_only", True), ("np", "load"): ("allow_pickle", False)}
    found, seen = [], 0
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if owner in ("pickle", "joblib", "cloudpickle", "dill") and node.func.attr in (
                "load",
                "loads",
                "Unpickler",
            ):
                found.append(f"{file.name}:{node.lineno}")
            setting = wanted.get((owner, node.func.attr))
            if setting is not None:
                seen += 1
                given = {item.arg: getattr(item.value, "value", None) for item in node.keywords}
                if given.get(setting[0]) is not setting[1]:
                    found.append(f"{file.name}:{node.lineno}")
    assert not found
    assert seen >= 2  # the search sees what it looks for


@pytest.mark.parametrize(
    "ending",
    [
        ".pkl",
        ".pt",
        ".pth",
        ".pt2",
        ".joblib",
        ".ckpt",
        ".npy",
        ".npz",
        ".zip",
        ".tar",
        ".h5",
        ".csv",
        ".parquet",
        ".idx",
    ],
)
def test_rule_2_pickles_are_refused_under_any_name_and_run_nothing(given: Path, ending: str) -> None:
    marker = given / "pwned"
    (given / f"model{ending}").write_bytes(pickle.dumps(Bomb(marker)))
    refusal(given / f"model{ending}")
    assert not marker.exists()
    pickle.loads(pickle.dumps(Bomb(marker)))
    assert marker.exists()  # so the bomb was live


def test_rule_2_pickles_inside_of_arrays_and_archives_run_nothing(given: Path) -> None:
    marker = given / "pwned"
    array = np.empty(3, dtype=object)
    array[:] = [Bomb(marker)] * 3
    np.save(given / "a.npy", array, allow_pickle=True)
    np.savez(given / "a.npz", images=array, allow_pickle=True)
    np.savez(given / "b.npz", images=X[:3], labels=array)
    np.savez(given / "c.npz", mu=array, sigma=np.eye(3))
    write_zip(given / "torch.zip", {"archive/data.pkl": pickle.dumps(Bomb(marker)), "archive/version": b"3"})
    write_tar(
        given / "web.tar", {"0.png": PNG, "0.pkl": pickle.dumps(Bomb(marker)), "0.pyd": pickle.dumps(Bomb(marker))}
    )
    for name in ("a.npy", "a.npz", "b.npz", "c.npz"):
        assert "Python objects or records, which are never loaded" in refusal(given / name)
    assert "holds no image" in refusal(given / "torch.zip")
    assert len(everything(opened(given / "web.tar"))[0]) == 1
    assert not marker.exists()


def test_rule_3_torch_is_new_enough_by_the_metadata() -> None:
    try:
        requires = importlib.metadata.requires("uncollapse") or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        requires = [line.strip(' ",') for line in (PACKAGE.parents[1] / "pyproject.toml").read_text().splitlines()]
    assert "torch>=2.10" in requires
    import torch

    assert tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 10)


# Rule 4: names in files choose nothing


def test_rule_4_a_text_in_a_file_imports_nothing(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (given / "evil.py").write_text(
        f"import os\nos.mkdir({str(given / 'pwned')!r})\ndef make():\n    return [[1.0, 2.0]]\n"
    )
    monkeypatch.syspath_prepend(given)
    monkeypatch.setattr(sys, "path", list(sys.path))
    target = "evil:make"
    described = dataset_json({target: target, "0.png": target}, classes=[target], factory=target)
    write_folder(given / "f" / target, {"0.png": PNG})
    write_folder(given / "g", {"0.png": PNG, "dataset.json": described})
    write_zip(given / "a.zip", {"0.png": PNG, "dataset.json": described, target: b"x"})
    write_tar(
        given / "a.tar", {"0.png": PNG, "0.cls": target.encode(), "0.json": json.dumps({"label": target}).encode()}
    )
    (given / "a.csv").write_text(f"x,label\n1,{target}\n2,{target}\n")
    np.savez(given / "a.npz", images=X, labels=[target] * 6)
    for name in ("f", "g", "a.zip", "a.tar", "a.csv", "a.npz"):
        source = opened(given / name)
        assert next(label for chunk in source.chunks(9) for label in chunk.labels or ()) == target
    (given / "run").mkdir()
    (given / "run" / "spec.json").write_text(json.dumps({"method": target, "task": target, "plugins": [target]}))
    refusal(given / "run")
    assert not (given / "pwned").exists()
    assert opened(target).count == 1  # only as the argument itself
    assert (given / "pwned").exists()
    del sys.modules["evil"]


# Rule 5: safetensors


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 2_000_000) + b" " * 2_000_000,
        struct.pack("<Q", 60) + b'{"x":{"dtype":"F64","shape":[50000000000],"data_offsets":[0,400000000000]}}'[:60],
        json.dumps({"x": {"dtype": "F64", "shape": [5 * 10**10], "data_offsets": [0, 4 * 10**11]}}).encode(),
        json.dumps({f"x{k}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for k in range(5000)}).encode(),
        pickle.dumps([1]),
    ],
)
def test_rule_5_forged_safetensors_in_the_cache_are_dropped(content: bytes) -> None:
    assert cache.save("key", {"x": np.ones(4)})
    (file,) = (cache.cache_folder() / "arrays").iterdir()
    file.write_bytes(content if content[:1] != b"{" else struct.pack("<Q", len(content)) + content)
    tracemalloc.start()
    assert cache.load("key") is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000
    assert not file.exists()


# Rule 6: archives

HOSTILE_NAMES = [
    "../../up.png",
    "/absolute.png",
    "a/../../../b/up.png",
    "C:\\windows\\x.png",
    "..\\up.png",
    "con.png",
    "a\x1b[2J.png",
]


@pytest.mark.parametrize("make", [write_zip, write_tar])
def test_rule_6_names_of_members_are_never_paths(home: Path, given: Path, make: object) -> None:
    before = sorted(home.rglob("*"))
    file = make(given / ("a.zip" if make is write_zip else "a.tar"), dict.fromkeys(HOSTILE_NAMES, PNG))  # type: ignore[operator]
    source = opened(file)
    assert len(everything(source)[0]) == len(HOSTILE_NAMES)
    source.fetch(range(len(HOSTILE_NAMES)))
    inspect(file).picture(given / "grid.png")
    assert sorted(home.rglob("*")) == sorted([*before, file, given / "grid.png"])
    assert not Path("/absolute.png").exists()


def test_rule_6_a_bomb_is_refused_before_it_is_unpacked(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncollapse.data.directory.RATIO_FREE_TOTAL", 50_000_000)  # 1 GB takes long to make
    monkeypatch.setattr("uncollapse.data.numpy_files.RATIO_FREE_ARRAY", 50_000_000)  # 2 GB
    zeros = bytes(60_000_000)
    bomb = write_zip(given / "a.zip", {"0.png": PNG, "1.png": zeros})
    many = write_zip(given / "b.zip", {f"{k}.png": zeros[:10_000_000] for k in range(6)})
    np.savez_compressed(given / "c.npz", images=np.zeros((60_000, 32, 32), np.uint8))
    for file in (bomb, many, given / "c.npz"):
        tracemalloc.start()
        assert "made to exhaust its reader" in refusal(file)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()


def test_rule_6_a_tar_that_unpacks_without_end_is_refused(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncollapse.data.tars.GIGA", 10_000_000)
    file = write_tar(given / "a.tar.gz", {"0.png": PNG, "1.png": bytes(60_000_000)})
    assert "as only an archive made to exhaust its reader does" in refusal(file)


def test_rule_6_a_header_that_claims_gigabytes_of_attributes_is_refused(given: Path) -> None:
    header = tarfile.TarInfo("0.png").tobuf(tarfile.PAX_FORMAT)
    claims = tarfile.TarInfo("x")
    claims.type, claims.size = tarfile.XHDTYPE, 6_000_000_000
    (given / "a.tar").write_bytes(claims.tobuf(tarfile.GNU_FORMAT) + bytes(2000) + header)
    tracemalloc.start()
    assert "is no readable tar" in refusal(given / "a.tar")
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_rule_6_overlapping_members_are_refused(given: Path) -> None:
    with zipfile.ZipFile(given / "a.zip", "w") as archive:
        archive.writestr("0.png", PNG)
        twin = copy.copy(archive.filelist[0])
        twin.filename = "1.png"
        archive.filelist.append(twin)
    assert "members that overlap" in refusal(given / "a.zip")


def test_rule_6_only_regular_members_count(given: Path) -> None:
    secret = given / "secret.png"
    secret.write_bytes(encoded(X[5]))
    special = []
    for kind, name in (
        (tarfile.SYMTYPE, "symbolic.png"),
        (tarfile.LNKTYPE, "hard.png"),
        (tarfile.CHRTYPE, "device.png"),
        (tarfile.BLKTYPE, "disk.png"),
        (tarfile.FIFOTYPE, "pipe.png"),
        (tarfile.DIRTYPE, "folder.png"),
    ):
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, str(secret) if kind == tarfile.SYMTYPE else "0.png"
        special.append(member)
    for name in ("a.tar", "a.tar.gz"):
        source = opened(write_tar(given / name, {"0.png": PNG}, special))
        assert everything(source)[2] == ["0.png"]
        assert source.notes.policies["link, device or other special member left out"] == 5


# Rule 7: images


def bomb_png(width: int, height: int) -> bytes:
    """A small PNG that declares a huge size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(100_000))
    parts = (header, pixels, b"IEND")
    packed = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_rule_7_every_bad_image_is_a_row_with_its_reason(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    wide = encoded(pictures(1, 60)[0])
    files = {
        "400-megapixels.png": bomb_png(20_000, 20_000),
        "100-megapixels.png": bomb_png(10_000, 10_000),
        "empty.png": b"",
        "fits.png": b"SIMPLE  =                    T" + b" " * 2850,
        "html.png": b"<!DOCTYPE html><html>Not found",
        "none.png": bomb_png(0, 5),
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "tiff.png": b"II*\0" + bytes(100),
        "truncated.jpg": encoded(pictures(1, 60)[0], "JPEG")[:-300],
        "truncated.png": wide[: len(wide) // 2],
    }
    source = opened(write_folder(given / "f", {**files, "z.png": PNG}), max_bad=0.99)
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # nothing rests on warnings being errors, as they are in these tests
        images, _, names = everything(source)
    assert names == ["z.png"]
    np.testing.assert_array_equal(images[0], X[0])
    reasons = dict(source.notes.bad)
    assert list(reasons) == sorted(files)
    assert reasons["400-megapixels.png"] == "has 20000 x 20000 pixels, more than 64 million"
    assert reasons["100-megapixels.png"] == "has 10000 x 10000 pixels, more than 64 million"
    assert reasons["html.png"] == "is no PNG, JPEG, WebP or BMP image but HTML"
    assert reasons["fits.png"] == "is no PNG, JPEG, WebP or BMP image"
    for name in ("truncated.jpg", "truncated.png"):
        assert reasons[name].startswith("is damaged")


# Rule 8: NumPy headers


def test_rule_8_a_forged_header_asks_for_no_memory(given: Path) -> None:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (50_000_000_000,)})
    forged = stream.getvalue()
    assert len(forged) == 128  # asks for 373 GiB
    (given / "a.npy").write_bytes(forged)
    write_zip(given / "a.npz", {"images.npy": forged})
    write_zip(given / "b.npz", {"images.npy": b"\x93NUMPY\x02\0" + struct.pack("<I", 2**32 - 1) + b"{"})
    (given / "a-images-idx3-ubyte").write_bytes(struct.pack(">HBB3I", 0, 8, 3, 2**31, 2**31, 2**31))
    for name in ("a.npy", "a.npz", "b.npz", "a-images-idx3-ubyte"):
        tracemalloc.start()
        assert "damaged or forged" in refusal(given / name) or name == "b.npz"
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()


# Rule 9: HDF5


def test_rule_9_nothing_leads_out_of_an_hdf5_file(given: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py (the extra [hdf5]) is not installed here")
    (given / "secret.bin").write_bytes(b"password" * 100)
    with h5py.File(given / "other.h5", "w") as file:
        file["images"] = X

    def external(file: object) -> None:
        file.create_dataset("images", (20, 5, 8), "u1", external=[(str(given / "secret.bin"), 0, 800)])  # type: ignore[attr-defined]

    def virtual(file: object) -> None:
        layout = h5py.VirtualLayout(shape=X.shape, dtype="u1")
        layout[:] = h5py.VirtualSource(str(given / "other.h5"), "images", X.shape)
        file.create_virtual_dataset("images", layout)  # type: ignore[attr-defined]

    def link(file: object) -> None:
        file["images"] = h5py.ExternalLink(str(given / "other.h5"), "images")  # type: ignore[index]

    def soft(file: object) -> None:
        file["real"] = X  # type: ignore[index]
        file["images"] = h5py.SoftLink("/real")  # type: ignore[index]

    def labels(file: object) -> None:
        file["images"] = X  # type: ignore[index]
        file["labels"] = h5py.ExternalLink(str(given / "other.h5"), "images")  # type: ignore[index]

    for make, words in (
        (external, "in other files, which are not opened"),
        (virtual, "in other files, which are not opened"),
        (link, "a link in place of 'images', which is not followed"),
        (soft, "a link in place of 'images', which is not followed"),
        (labels, "a link in place of 'labels', which is not followed"),
    ):
        with h5py.File(given / "a.h5", "w") as file:
            make(file)
        assert words in refusal(given / "a.h5")


# Rule 10: parquet


def test_rule_10_extension_types_are_refused_and_ray_is_never_there(given: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow (the extra [parquet]) is not installed here")
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow (the extra [parquet]) is not installed here")

    class Foreign(pa.ExtensionType):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(pa.binary(), "foreign")

        def __arrow_ext_serialize__(self) -> bytes:
            return b"payload"

        @classmethod
        def __arrow_ext_deserialize__(cls, storage: object, serialized: bytes) -> Foreign:
            return cls()

    rows = pa.array([PNG] * 3, pa.binary())
    pq.write_table(pa.table({"image": pa.ExtensionArray.from_storage(Foreign(), rows)}), given / "unknown.parquet")
    pa.register_extension_type(Foreign())
    try:
        pq.write_table(pa.table({"image": pa.ExtensionArray.from_storage(Foreign(), rows)}), given / "known.parquet")
        pq.write_table(
            pa.table({"image": rows, "more": pa.ExtensionArray.from_storage(Foreign(), rows)}), given / "beside.parquet"
        )
        for name in ("known", "beside", "unknown"):
            assert "of an extension type, which is not read" in refusal(given / f"{name}.parquet")
    finally:
        pa.unregister_extension_type("foreign")
    assert "of an extension type" in refusal(given / "unknown.parquet")
    assert "ray.data" not in sys.modules


# Rule 12: documents


def test_rule_12_documents_are_read_up_to_a_size_and_a_depth(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = b'{"labels":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"
    assert "not of the form" in refusal(write_zip(given / "a.zip", {"0.png": PNG, "dataset.json": deep}))
    assert "not of the form" in refusal(write_folder(given / "f", {"0.png": PNG, "dataset.json": deep}))
    web = write_tar(given / "a.tar", {"0.png": PNG, "0.json": b"[" * 60_000, "1.png": PNG, "1.json": b" " * 70_000})
    assert len(everything(opened(web))[0]) == 2
    for module in ("folders", "zips", "tars"):
        monkeypatch.setattr(f"uncollapse.data.{module}.MOST_JSON_BYTES", 1000)
    long = {"0.png": PNG, "dataset.json": dataset_json({f"{k}.png": k for k in range(100)})}
    assert "dataset.json" in refusal(write_folder(given / "g", long))
    assert "dataset.json" in refusal(write_zip(given / "b.zip", long))
    assert "dataset.json" in refusal(write_tar(given / "b.tar", long))


@pytest.fixture
def run(given: Path) -> Path:
    """A small run that was trained to its end."""
    spec = make_spec("vanilla", "blobs-2", seeds=(0,), updates=2, batch=8, networks=MLP(width=4, depth=1))
    execute(spec, given / "run", device="cpu")
    return given / "run"


def said(what: Callable[[], object]) -> str:
    """The sentence of a refusal; empty where there is none."""
    try:
        what()
    except UserError as refused:
        return str(refused)
    return ""


@pytest.mark.parametrize(
    ("name", "doctor", "verbs"),
    [
        ("spec.json", "spec", "report sample"),
        ("result.json", "result", "report"),
        ("history.jsonl", "history", "report"),
        ("timing.jsonl", "timing", "report"),
        ("checkpoints/step-000000002/MANIFEST.json", "checkpoint", ""),
    ],
)
def test_rule_12_documents_of_runs_are_read_up_to_a_size_and_a_depth(
    run: Path, name: str, doctor: str, verbs: str
) -> None:
    path, whole = run / name, (run / name).read_bytes()
    for deep in (b"[" * 200_000 + b"\n", b'{"a":' * 101 + b"1" + b"}" * 101 + b"\n", None):
        path.write_bytes(deep or b"")
        if deep is None:
            os.truncate(path, MOST_BYTES + 1)  # a file with a hole, which takes no room
        found = {check.name: (check.status, check.detail) for check in examine(run)}
        assert found[doctor][0] == ("note" if doctor == "checkpoint" else "bad")
        refused = {
            "report": said(lambda: load_report(run)),
            "sample": said(lambda: write_samples(run, 3, run.parent / "x.npz")),
        }
        assert [verb for verb, sentence in refused.items() if sentence] == verbs.split()
        assert all("\n" not in sentence for sentence in refused.values())
        assert {check.name: check.detail for check in examine(run)}[doctor] == found[doctor][1]
    path.write_bytes(whole)
    assert not [check for check in examine(run) if check.status != "ok"]


def test_rule_12_leases_and_locks_too(run: Path) -> None:
    deep = "[" * 200_000
    (run / LEASE).write_text(deep)
    assert {check.name: check.detail for check in examine(run)}["writer"].startswith("is being written by a process")
    (run.parent / "comparison").mkdir()
    (run.parent / "comparison" / LOCK).write_text(deep)
    checks = {check.name: check.detail for check in examine(run.parent / "comparison")}
    assert "is nested more than 100 levels deep; restore it" in checks[LOCK]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 200_000, "is nested more than 100 levels deep, so it cannot be a plan"),
        ("a = " + "[" * 101 + "]" * 101, "is nested more than 100 levels deep"),
        ("a" + ".a" * 200_000 + " = 1", "has too many dotted keys, so it cannot be a plan"),
        ("#" * (MOST_PLAN_BYTES + 1), "more than the 4.0 MB that are read, so it cannot be a plan"),
    ],
)
def test_rule_12_plans_are_read_up_to_a_size_and_a_depth(given: Path, text: str, message: str) -> None:
    (given / "deep.toml").write_text(text)
    result = CliRunner().invoke(app, ["compare", str(given / "deep.toml"), "--dry-run"])
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)


# Rule 14: the terminal


def test_rule_14_names_and_labels_cannot_drive_the_terminal(given: Path) -> None:
    evil = "\x1b]0;owned\x07\x1b[2J[red]a[bold]\u202e\r\n"
    folder = write_folder(
        given / f"f{evil}",
        {
            f"l{evil}/a{evil}.png": PNG,
            f"l{evil}/b{evil}.png": PNG,
            f"m{evil}/c.png": b"<html>",
            f"m{evil}/d.png": encoded(X[1]),
        },
    )
    found = inspect(folder)
    for terminal in (True, False):
        stream = io.StringIO()
        Console(file=stream, width=300, force_terminal=terminal, color_system=None, no_color=True).print(found.table())
        text = stream.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")  # rich's own bold
        assert not set(text) & set("\x1b\x07\r\u202e")
        assert "[red]a[bold]" in text  # shown as it stands, not obeyed
    assert "\x1b" not in json.dumps(found.to_json())
    messages = [refusal(folder), refusal(given / f"gone{evil}"), refusal(given / f"gone{evil}.pkl")]
    (given / f"x{evil}.pkl").write_bytes(b"")
    messages += [refusal(given / f"x{evil}.pkl"), refusal(write_zip(given / f"y{evil}.zip", {"a.txt": b""}))]
    np.savez(given / "z.npz", **{f"k{evil}": X})
    messages.append(refusal(given / "z.npz"))
    for message in messages:
        assert not set(message) & set("\x1b\x07\r\n\u202e")
    found.picture(given / "grid.png")


# All rules: spoiled files of every form


def test_every_spoiled_file_is_read_or_refused_in_one_sentence(given: Path) -> None:
    """500 seeded mutations: cut off, bits flipped, overwritten, repeated, shortened, random, with a wrong ending."""
    optional = all(importlib.util.find_spec(name) for name in ("pyarrow", "h5py"))
    files = valid_files(optional=optional)
    draw = random.Random(20_260_101)
    read, sentences = 0, []
    for number in range(500):
        name = draw.choice(list(files))
        content = spoiled(files[name], draw)
        if draw.random() < 0.15 and "/" not in name:
            name = f"x{draw.choice(SUFFIXES)}"
        folder = given / str(number)
        folder.mkdir()
        what = folder / name
        what.parent.mkdir(exist_ok=True)
        what.write_bytes(content)
        if name == "described/dataset.json":
            (what.parent / "0.png").write_bytes(PNG)
        start = time.perf_counter()
        try:
            source = opened(what.parent if "/" in name or name.endswith(".png") else what, max_bad=0.5)
            rows = sum(len(chunk) for chunk in source.chunks(4))
            assert rows or source.kind == "statistics"
            source.content_hash()
            if source.kind == "images":
                source.fetch([rows - 1])
            read += 1
        except UserError as refused:
            sentences.append(str(refused))
        assert time.perf_counter() - start < 10
    assert not [sentence for sentence in sentences if "\n" in sentence or len(sentence) > 1500]
    assert (read + len(sentences), min(read, len(sentences)) > 50) == (500, True)


def test_the_files_that_are_spoiled_are_valid(given: Path) -> None:
    optional = all(importlib.util.find_spec(name) for name in ("pyarrow", "h5py"))
    for name, content in valid_files(optional=optional).items():
        what = given / name.replace("/", "-folder/")
        what.parent.mkdir(exist_ok=True)
        what.write_bytes(content)
        if name == "described/dataset.json":
            (what.parent / "0.png").write_bytes(PNG)
        source = opened(what.parent if "/" in name else what)
        assert sum(len(chunk) for chunk in source.chunks(4)) or source.kind == "statistics", name
