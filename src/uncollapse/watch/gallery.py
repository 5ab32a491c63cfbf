"""The samples of the runs while they are watched: files read once each, what is drawn of them kept within a bound.

Between `samples` (a file) and `pictures` (a drawing); asked by the server for one snapshot at a time.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uncollapse.data.limits import MEGA
from uncollapse.errors import UserError
from uncollapse.watch.pictures import Plane, cloud_json, sheet, tones, window
from uncollapse.watch.samples import SampleFile, Shown, list_files, read_shown

MOST_KEPT = 96 * MEGA
WINDOW_FILES = 16
LISTED_SECONDS = 1.0

Files = dict[int, SampleFile]


class Gallery:
    """All runs' samples, the least used ones forgotten first; safe to ask from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Empty.

        Args:
            clock: Seconds of a clock that never jumps.
        """
        self._clock = clock
        self._kept: OrderedDict[SampleFile, Shown] = OrderedDict()
        self._bytes = 0
        self._listed: dict[Path, tuple[float, Files]] = {}
        self._planes: dict[Path, tuple[Files, Plane, list[float]]] = {}
        self._tones: dict[Path, tuple[Files, tuple[float, float]]] = {}
        # One file is unpacked at a time: training on the same machine comes first.
        self._lock = threading.Lock()

    def overview(self, directory: Path) -> dict[str, Any] | None:
        """What the scrubber needs of a run: its snapshots, and how they are drawn; None while there are none.

        Returns:
            ``updates``, ``kind`` ("images" or "points"), ``frame`` [left, bottom, side] and ``note`` for points.
        """
        with self._lock:
            files = self._files(directory)
            newest = self._newest(files)
            if newest is None:
                return None
            if newest.images:
                return {"updates": list(files), "kind": "images", "frame": None, "note": ""}
            plane, frame = self._plane(directory, files, newest)
            return {"updates": list(files), "kind": "points", "frame": frame, "note": plane.note}

    def points(self, directory: Path, update: int, first: int, count: int) -> list[dict[str, Any]]:
        """The points of lanes `first` .. `first + count` of one snapshot, ``xy`` and ``lost`` each.

        Raises:
            UserError: There is no such snapshot, or its file is damaged.
        """
        with self._lock:
            files = self._files(directory)
            shown, newest = self._read(files, update), self._newest(files)
            if newest is None or shown.images or shown.shape != newest.shape:
                raise UserError(f"The snapshot of update {update} has no points that fit the others.")
            plane, _ = self._plane(directory, files, newest)
            return [cloud_json(plane.points(lane)) for lane in shown.samples[first : first + count]]

    def image(self, directory: Path, update: int, lane: int) -> bytes:
        """The images of one lane of one snapshot as a PNG.

        Raises:
            UserError: There is no such snapshot or lane, or its file is damaged.
        """
        with self._lock:
            files = self._files(directory)
            shown, newest = self._read(files, update), self._newest(files)
            if newest is None or not shown.images or not 0 <= lane < len(shown.samples):
                raise UserError(f"There are no images of lane {lane} in the snapshot of update {update}.")
            known = self._tones.get(directory)
            if known is None or known[0] != files:
                known = self._tones[directory] = (files, tones(newest.samples))
            return sheet(shown.samples[lane], *known[1])

    def _files(self, directory: Path) -> Files:
        """The files of a run, listed at most once a second however many viewers ask."""
        now = self._clock()
        known = self._listed.get(directory)
        if known is None or now - known[0] >= LISTED_SECONDS:
            known = self._listed[directory] = (now, list_files(directory))
        return known[1]

    def _newest(self, files: Files) -> Shown | None:
        """The newest snapshot that can be read."""
        for update in sorted(files, reverse=True)[:3]:
            try:
                return self._read(files, update)
            except UserError:
                continue
        return None

    def _read(self, files: Files, update: int) -> Shown:
        file = files.get(update)
        if file is None:
            raise UserError(f"There is no snapshot of update {update}.")
        if file not in self._kept:
            shown = read_shown(file.path)
            self._kept[file] = shown
            self._bytes += shown.samples.nbytes
            while self._bytes > MOST_KEPT and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].samples.nbytes
        self._kept.move_to_end(file)
        return self._kept[file]

    def _plane(self, directory: Path, files: Files, newest: Shown) -> tuple[Plane, list[float]]:
        """The axes and the window that all snapshots of a run share, found again when there is a new snapshot."""
        known = self._planes.get(directory)
        if known is not None and known[0] == files:
            return known[1], known[2]
        plane = Plane.of(newest.samples)
        clouds = []
        for update in list(files)[:: -max(1, -(-len(files) // WINDOW_FILES))]:
            try:
                shown = self._read(files, update)
            except UserError:
                continue
            if shown.shape == newest.shape:
                clouds.append(plane.points(shown.samples.reshape(-1, *shown.shape)))
        frame = window(clouds)
        self._planes[directory] = (files, plane, frame)
        return plane, frame
