"""Data sets of every form with known content, made afresh for each test."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from uncollapse.data.opening import open_source
from uncollapse.data.source import Source


def pictures(n: int = 6, size: int = 5, colour: bool = False, seed: int = 0) -> np.ndarray:
    """Noise: (n, size, size + 2) grey or (n, size, size + 2, 3) colour, uint8."""
    shape = (n, size, size + 2, 3) if colour else (n, size, size + 2)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(pixels: np.ndarray | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image's file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """A folder with such files."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_zip(file: Path, files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip with such members, names as they are."""
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file


def write_tar(file: Path, files: Mapping[str, bytes], extra: Iterable[tarfile.TarInfo] = ()) -> Path:
    """A tar, gzipped if its name says so, with such members and then the extra ones without content."""
    with tarfile.open(file, "w:gz" if file.name.endswith("gz") else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in extra:
            archive.addfile(member)
    return file


def write_idx(file: Path, array: np.ndarray) -> Path:
    """An IDX file of bytes, gzipped if its name says so."""
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    file.write_bytes(gzip.compress(content, mtime=0) if file.name.endswith(".gz") else content)
    return file


def png_files(images: Sequence[np.ndarray], names: Sequence[str] | None = None) -> dict[str, bytes]:
    """PNGs by name: 0.png, 1.png, ..."""
    return {
        name: encoded(image)
        for name, image in zip(names or map("{}.png".format, range(len(images))), images, strict=True)
    }


def dataset_json(labels: Mapping[str, object], **more: object) -> bytes:
    """StyleGAN's dataset.json."""
    return json.dumps({"labels": [[name, label] for name, label in labels.items()], **more}).encode()


def everything(source: Source, size: int = 4) -> tuple[list[np.ndarray], list[str] | None, list[str]]:
    """All images, labels and names of a source, with the rules that every chunk keeps."""
    images: list[np.ndarray] = []
    labels: list[str] = []
    names: list[str] = []
    for chunk in source.chunks(size):
        assert chunk.first == len(images)
        assert 0 < len(chunk) <= size
        assert len(chunk.names) == len(chunk)
        assert (chunk.labels is not None) == source.labelled
        assert all(image.dtype == np.uint8 and image.shape[2:] in ((), (3,)) for image in chunk.images)
        images += chunk.images
        labels += chunk.labels or ()
        names += chunk.names
    assert source.notes.rows == len(images)
    return images, labels if source.labelled else None, names


def features(source: Source, size: int = 4) -> np.ndarray:
    """All feature rows of a source."""
    chunks = list(source.chunks(size))
    assert [chunk.first for chunk in chunks] == list(np.cumsum([0, *map(len, chunks)])[:-1])
    return np.concatenate([chunk.features for chunk in chunks if chunk.features is not None])


def opened(given: object, **options: Any) -> Source:
    """The source of the real side."""
    return open_source(given, side="real", **options)


class Table:
    """A DataFrame: columns of their own types, read as pandas reads them."""

    def __init__(self, columns: dict[Any, Any] | list[tuple[Any, Any]]) -> None:
        pairs = list(columns.items() if isinstance(columns, dict) else columns)
        self.columns = [title for title, _ in pairs]
        self._arrays = [np.asarray(values) for _, values in pairs]
        self.shape = (len(self._arrays[0]) if pairs else 0, len(pairs))
        self.iloc = self

    def __getitem__(self, at: tuple[slice, int]) -> np.ndarray:
        return self._arrays[at[1]]

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        kinds = {array.dtype.kind for array in self._arrays}
        kind = np.result_type(*self._arrays) if kinds <= set("biufc") else np.dtype(object)
        return np.stack([array.astype(kind) for array in self._arrays], axis=1)

    def __len__(self) -> int:
        return self.shape[0]
