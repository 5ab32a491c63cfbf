"""Valid files of every form and seeded ways to spoil them: the malformed corpus of the laws."""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tests.data.making import dataset_json, encoded, pictures, png_files, write_idx, write_tar, write_zip

SUFFIXES = (
    ".png",
    ".zip",
    ".tar",
    ".tar.gz",
    ".npy",
    ".npz",
    ".csv",
    ".parquet",
    ".h5",
    "-images-idx3-ubyte",
    ".idx.gz",
)


def _bytes(write: Callable[[Path], object], name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def _parquet() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"bytes": encoded(image), "path": None} for image in pictures()]
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": rows, "label": [0, 1] * 3}), stream)
    return stream.getvalue()


def _hdf5() -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset("images", data=pictures(), chunks=(2, 5, 7), compression="gzip")
        file["labels"] = np.arange(6)
    return stream.getvalue()


def valid_files(*, optional: bool = True) -> dict[str, bytes]:
    """One valid file of every form, by a name with its ending; a name with a slash lies in a folder that is opened."""
    x = pictures()
    labelled = {**png_files(x, [f"k{i % 2}/{i}.png" for i in range(6)])}
    described = {**png_files(x), "dataset.json": dataset_json({f"{i}.png": i % 3 for i in range(6)})}
    web = {f"{i}.{end}": content for i in range(3) for end, content in (("png", encoded(x[i])), ("cls", b"1"))}
    files = {
        "png/a.png": encoded(x[0]),
        "jpeg/a.jpg": encoded(x[0], "JPEG"),
        "webp/a.webp": encoded(x[0], "WEBP"),
        "bmp/a.bmp": encoded(x[0], "BMP"),
        "exif/a.jpg": encoded(
            x[0], "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
        ),
        "described/dataset.json": described["dataset.json"],
        "a.zip": _bytes(lambda file: write_zip(file, described), "a.zip"),
        "b.zip": _bytes(lambda file: write_zip(file, labelled, 0), "b.zip"),
        "a.tar": _bytes(lambda file: write_tar(file, labelled), "a.tar"),
        "a.tar.gz": _bytes(lambda file: write_tar(file, web), "a.tar.gz"),
        "a.npy": _bytes(lambda file: np.save(file, x), "a.npy"),
        "floats.npy": _bytes(lambda file: np.save(file, x.reshape(6, -1) / 255), "floats.npy"),
        "a.npz": _bytes(lambda file: np.savez(file, images=x, labels=np.array(list("abcabc"))), "a.npz"),
        "b.npz": _bytes(lambda file: np.savez_compressed(file, features=x.reshape(6, -1) * 0.1), "b.npz"),
        "statistics.npz": _bytes(lambda file: np.savez(file, mu=np.zeros(4), sigma=np.eye(4)), "statistics.npz"),
        "a-images-idx3-ubyte": _bytes(lambda file: write_idx(file, x), "a-images-idx3-ubyte"),
        "b-images-idx3-ubyte.gz": _bytes(lambda file: write_idx(file, x), "b-images-idx3-ubyte.gz"),
        "a.csv": b"x,y,label\n1.5,2,cat\n3,4e2,dog\n5,-6,cat\n",
    }
    if optional:
        files |= {"a.parquet": _parquet(), "a.h5": _hdf5()}
    return files


def spoiled(content: bytes, draw: random.Random) -> bytes:
    """The content cut off, with bits flipped, with a stretch overwritten, repeated, removed or replaced."""
    way = draw.randrange(7)
    size = max(1, len(content))
    at, length = draw.randrange(size), draw.choice((1, 2, 4, 8, 64))
    data = bytearray(content)
    if way == 0:
        return content[:at]
    if way == 1:
        for _ in range(draw.choice((1, 3, 20))):
            place = draw.randrange(size)
            data[place : place + 1] = bytes([(data[place] if data else 0) ^ (1 << draw.randrange(8))])
        return bytes(data)
    if way == 2:
        data[at : at + length] = draw.randbytes(length)
        return bytes(data)
    if way == 3:
        data[at : at + length] = draw.choice((b"\xff", b"\0", b"\x7f")) * length
        return bytes(data)
    if way == 4:
        return content[:at] + content[max(0, at - length * 8) :]
    if way == 5:
        return content[:at] + content[at + length :]
    return draw.randbytes(draw.choice((0, 1, 100, 5000)))
