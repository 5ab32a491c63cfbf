"""Opens whatever a user gives as data: a folder, an archive, a file of arrays, a run, a generator, an object."""

from __future__ import annotations

import math
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from uncollapse.data.arrays import ArrayRows, Rows
from uncollapse.data.encoded import Container, EncodedImages
from uncollapse.data.folders import ENDINGS, Folder
from uncollapse.data.frames import as_frame, open_frame
from uncollapse.data.generated import (
    DEFAULT_SAMPLES,
    drawn_rows,
    from_reference,
    is_reference,
    is_run,
    is_run_object,
    run_rows,
)
from uncollapse.data.hdf5 import MODEL, open_hdf5
from uncollapse.data.idx import is_idx, open_idx
from uncollapse.data.items import as_array, description, is_array, is_labelled_array, pictures_of
from uncollapse.data.labels import label_texts
from uncollapse.data.limits import USUAL_BAD, reason, where
from uncollapse.data.numpy_files import Labelled, open_npy, open_npz
from uncollapse.data.objects import failed, indexed_rows, streamed_rows
from uncollapse.data.parquet import Parquet
from uncollapse.data.source import Source
from uncollapse.data.statistics import StatisticsOnly
from uncollapse.data.tables import open_csv
from uncollapse.data.tars import Tar
from uncollapse.data.zips import Zip
from uncollapse.errors import UserError

if TYPE_CHECKING:
    from uncollapse.run import Run

FORMS = "a folder of images, .zip, .tar, .tar.gz, .npy, .npz, .csv, .parquet, .hdf5, IDX, a run or module:factory"
MODELS = (".pkl", ".pickle", ".pt", ".pt2", ".pth", ".ckpt", ".joblib", ".keras", ".safetensors", ".onnx", ".bin")
PACKED_OTHERWISE = (".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar", ".gz", ".bz2", ".xz")


def open_source(
    given: object,
    *,
    side: str,
    n: int | None = None,
    drawn: int | None = None,
    labels: object = None,
    seed: int = 0,
    max_bad: float = USUAL_BAD,
    plugins: Sequence[object] = (),
    label_column: str | None = None,
) -> Source:
    """Opens a data set.

    Args:
        given: A path or ``module:factory`` as text; a Path; an array or tensor; a torch `Dataset`, a sequence or an
            iterable of images, of (image, label) pairs or of batches; a Hugging Face data set; an image of Pillow; a
            run that was trained or loaded; a function ``f(n)`` that draws n samples; a DataFrame; or an opened source.
            An array (n, d) is features; (n, h, w), (n, h, w, c) and (n, c, h, w) with 1, 3 or 4 channels are images
            (`layout_of` says how they are told apart). Float images lie in [0, 1] or in [-1, 1].
        side: "real", "fake", ...: how messages call it.
        n: Rows wanted. A generator draws so many (by default 10,000); an iterator is read so far; of anything else so
            many rows are chosen at random, in their order. None for all.
        drawn: Without `n`, rows of what draws them on demand: a generator draws so many, an iterator is read so far at
            most; of anything else all rows are taken.
        labels: One number or text a row, instead of the data's own.
        seed: For the choice of n rows and for what a generator draws.
        max_bad: Largest share of rows that may be unreadable; 1 tolerates all. `limits.Fixed` where whoever gives the
            data has no way to ask for another.
        plugins: What the specification of a run needs.
        label_column: Of a .csv or .parquet file or of a DataFrame, which column holds the labels, for example prompts;
            other data have no columns and keep their own labels.

    Returns:
        The source; nothing large has been read yet.

    Raises:
        UserError: It does not exist, is of a kind that is not read or not safe to read, holds nothing, or is damaged.
    """
    if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
        raise UserError(f"n must be a whole number above 0, not {n!r}.")
    if label_column is not None and not isinstance(label_column, str):
        raise UserError(f"label_column must be the title of a column, a text, not {label_column!r}.")
    if isinstance(max_bad, bool) or not isinstance(max_bad, Real) or not 0 <= max_bad <= 1:
        raise UserError(f"max_bad (--max-bad) must lie between 0 and 1, not {max_bad!r}.")
    opening = _Opening(
        side=side, n=n, most=drawn if n is None else n, labels=labels, seed=seed, max_bad=max_bad,
        plugins=tuple(plugins), label_column=label_column,
    )  # fmt: skip
    return opening.path(given) if isinstance(given, str) else opening.memory(given)


def _largest(given: object) -> float:
    """Rows of the largest batch that a DataLoader of torch gives; 0 of anything that is not known to give batches."""
    if getattr(given, "batch_sampler", None) is None:
        return 0
    return 1 if getattr(given, "batch_size", None) == 1 else math.inf  # a collate_fn may give more than the size


@dataclass(frozen=True, kw_only=True)
class _Opening:
    """What the user asked for of one side; `name` is what was written, or a description of the object.

    Of what draws on demand `most` rows are taken, which `n` decides where it was asked for.
    """

    side: str
    n: int | None
    most: int | None
    labels: object
    seed: int
    max_bad: float
    plugins: tuple[object, ...]
    label_column: str | None
    name: str = ""

    @property
    def place(self) -> str:
        """How messages call it."""
        return where(self.side, self.name)

    def path(self, given: str | Path) -> Source:
        """Something on disk, or module:factory."""
        named = replace(self, name=str(given))
        try:
            path = Path(given).expanduser()
            mode = path.stat().st_mode if str(given) else 0
        except (OSError, ValueError, RuntimeError) as error:
            if isinstance(given, str) and is_reference(given):
                return named.memory(from_reference(given, named.place))
            if isinstance(error, FileNotFoundError | NotADirectoryError):
                raise UserError(f"{named.place} does not exist; give {FORMS}.") from error
            raise UserError(f"{named.place} cannot be opened: {reason(error)}.") from error
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise UserError(f"{named.place} is neither a file nor a folder; give {FORMS}.")
        try:
            return named.folder(path) if stat.S_ISDIR(mode) else named.file(path)
        except MemoryError as error:
            raise UserError(f"{named.place} needs more memory than there is; give fewer rows, or split it.") from error

    def folder(self, folder: Path) -> Source:
        """A folder of images, or a run of ours."""
        if (folder / "comparison.json").is_file():
            raise UserError(f"{self.place} is a comparison of many runs; give one of the run folders in it.")
        if is_run(folder):
            return self.run(folder)
        if (folder / "model.safetensors").is_file() and (folder / "config.json").is_file():
            raise UserError(
                f"{self.place} is a generator that was saved to be shared; open it in Python, run ="
                " uc.hub.load(folder), and give run.samples(2_000, seed=run.seeds[0])."
            )
        return self.images(Folder(folder, self.place))

    def run(self, run: Path | Run) -> Source:
        """Samples of a run of ours."""
        self.no_labels()
        return run_rows(run, name=self.name, place=self.place, n=self.most, seed=self.seed, plugins=self.plugins)

    def file(self, file: Path) -> Source:
        """A file, by its ending."""
        name = file.name.lower()
        if is_idx(name):
            return self.labelled(open_idx(file, self.place), "IDX file")
        for endings, opener in OPENERS.items():
            if name.endswith(endings):
                return opener(self, file)
        if name.endswith(MODELS):
            raise UserError(f"{MODEL.format(self.place)} Such files can run code when they are read.")
        if name.endswith(ENDINGS):
            raise UserError(f"{self.place} is a single image; give the folder that holds all of them.")
        if name.endswith(PACKED_OTHERWISE):
            raise UserError(f"{self.place} is packed in a way that is not read; pack it as .zip, .tar or .tar.gz.")
        raise UserError(f"{self.place} is of no kind that is read; give {FORMS}.")

    def memory(self, given: object) -> Source:
        """An object of a program."""
        if isinstance(given, Source):
            if self.labels is not None or self.n is not None:
                raise UserError(f"The {self.side} side is an opened source; give n and labels where it is opened.")
            return given
        if isinstance(given, Path):
            return self.path(given)
        if is_run_object(given):
            return replace(self, name=str(given.directory)).run(given)
        named = self if self.name else replace(self, name=description(given))
        if is_labelled_array(given):
            rows, labels = given
            return named.memory(rows) if self.labels is not None else replace(named, labels=labels).memory(rows)
        if is_array(given):
            if frame := as_frame(given):
                found = open_frame(frame, named.place, self.label_column, labels=self.labels is None)
                return named.labelled(found, "table in memory")
            array, tensor = as_array(given, named.place)
            return named.array(array, None, "tensor" if tensor else "array", tensor=tensor)
        if hasattr(given, "getbands") and hasattr(given, "convert"):  # an image of Pillow
            return named.indexed([given], "one image")
        return named.rows(given)

    def rows(self, given: object) -> Source:
        """An object that gives rows by number, one after the other, or by drawing."""
        if (pictures := pictures_of(given)) is not given:
            return self.memory(pictures)
        takes = callable(given) or isinstance(given, Iterable) or hasattr(given, "__getitem__")
        if callable(getattr(given, "samples", None)) and not takes:
            raise UserError(
                f"{self.place} is a run that was saved to be shared; give run.samples(2_000, seed=run.seeds[0])."
            )
        if isinstance(given, Mapping):
            raise UserError(
                f"{self.place} is a collection of several things; give the one that holds the rows, for example "
                "given['images'], or the path of the file."
            )
        if isinstance(given, type | bytes):
            raise UserError(f"{self.place} gives no rows; give an array, a data set or a function f(n).")
        if hasattr(given, "state_dict") and hasattr(given, "forward"):
            raise UserError(
                f"{self.place} is a network; give a function of the number of samples, such as "
                "lambda n: generator(torch.randn(n, 128))."
            )
        streamed = any(base.__name__ == "IterableDataset" for base in type(given).__mro__)
        if hasattr(given, "__len__") and hasattr(given, "__getitem__") and not streamed:
            return self.indexed(given, "data set")
        if isinstance(given, Iterable):
            return self.stream(given)
        if callable(given):
            return self.drawn(given)
        raise UserError(f"{self.place} gives no rows; give {FORMS}, an array, a data set or a function f(n).")

    def images(self, container: Container) -> Source:
        """Encoded images."""
        count = len(container)
        return EncodedImages(
            container,
            name=self.name,
            place=self.place,
            max_bad=self.max_bad,
            picks=self.picks(count),
            labels=self.texts(count),
        )

    def labelled(self, found: Labelled, form: str) -> Source:
        """An array of a file, with its labels."""
        return self.array(found.rows, found.labels, form, heads=found.heads, policies=found.policies)

    def array(
        self,
        rows: Rows,
        labels: Sequence[str] | None,
        form: str,
        *,
        tensor: bool = False,
        heads: tuple[str, ...] | None = None,
        policies: Counter[str] | None = None,
    ) -> Source:
        """An array."""
        count = rows.shape[0] if rows.shape else 0
        given = self.texts(count)
        return ArrayRows(
            rows,
            name=self.name,
            form=form,
            place=self.place,
            labels=labels if given is None else given,
            picks=self.picks(count),
            tensor=tensor,
            policies=policies,
            heads=heads,
        )

    def npz(self, file: Path) -> Source:
        """Rows, or statistics."""
        found = open_npz(file, self.place)
        if isinstance(found, Labelled):
            return self.labelled(found, "NumPy archive")
        self.no_labels()
        if self.n is not None:
            raise UserError(f"{self.place} holds mean and covariance only, no rows to choose {self.n:,} of.")
        return StatisticsOnly(found, name=self.name, place=self.place)

    def hdf5(self, file: Path) -> Source:
        """A data set of HDF5."""
        rows, labels = open_hdf5(file, self.place)
        return self.array(rows, labels, "HDF5 file")

    def indexed(self, given: Any, form: str) -> Source:
        """A torch `Dataset`, a sequence, a Hugging Face data set."""
        try:
            count = len(given)
        except Exception as error:  # whatever the user's own object raises
            raise failed(self.place, "asking for its length", error) from error
        return indexed_rows(
            given,
            name=self.name,
            form=form,
            place=self.place,
            max_bad=self.max_bad,
            picks=self.picks(count),
            labels=self.texts(count),
        )

    def stream(self, given: Iterable[Any]) -> Source:
        """An iterator."""
        return streamed_rows(
            iter(given),
            name=self.name,
            form="iterator",
            place=self.place,
            max_bad=self.max_bad,
            n=self.n,
            most=self.most,
            labels=self.texts(self.n),
            largest=_largest(given),
        )

    def drawn(self, given: Callable[[int], Any]) -> Source:
        """A function that draws samples."""
        labels = self.texts(DEFAULT_SAMPLES if self.most is None else self.most)
        return drawn_rows(
            given, name=self.name, form="generator", place=self.place, n=self.most, seed=self.seed, labels=labels,
            label_column=self.label_column,
        )  # fmt: skip

    def texts(self, count: int | None) -> list[str] | None:
        """The labels that the user gave beside the data."""
        return None if self.labels is None else label_texts(self.labels, count, self.place)

    def no_labels(self) -> None:
        """Refuses labels where there is nothing to label."""
        if self.labels is not None:
            raise UserError(f"{self.place} takes no labels from outside; leave them out.")

    def picks(self, count: int) -> NDArray[np.int64] | None:
        """The rows to read where fewer are wanted than there are, by a seeded choice."""
        if self.n is None or self.n == count:
            return None
        if self.n > count:
            raise UserError(f"{self.place} has {count:,} rows, fewer than the {self.n:,} asked for.")
        return np.sort(np.random.default_rng(self.seed).choice(count, self.n, replace=False))


# By the end of the name; IDX files are known by more than that.
OPENERS: dict[tuple[str, ...], Callable[[_Opening, Path], Source]] = {
    (".zip",): lambda opening, file: opening.images(Zip(file, opening.place)),
    (".tar",): lambda opening, file: opening.images(Tar(file, opening.place, packed=False)),
    (".tar.gz", ".tgz"): lambda opening, file: opening.images(Tar(file, opening.place, packed=True)),
    (".npy",): lambda opening, file: opening.array(open_npy(file, opening.place), None, "NumPy file"),
    (".npz",): _Opening.npz,
    (".csv",): lambda opening, file: opening.labelled(open_csv(file, opening.place, opening.label_column), "CSV table"),
    (".parquet",): lambda opening, file: opening.images(Parquet(file, opening.place, opening.label_column)),
    (".h5", ".hdf5", ".hdf"): _Opening.hdf5,
}
