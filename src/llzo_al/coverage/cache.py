"""One file of descriptors per stage, so that a frame's descriptors are computed once."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from llzo_al.coverage.environments import Float32Array
from llzo_al.files import replacing

_log = logging.getLogger(__name__)

FrameValues = dict[str, Float32Array]
"""Descriptors of one frame, by element, shape (n_atoms_of_the_element, n_features) each."""


class DescriptorCache:
    """Descriptors of frames by the frame's key, in one ``.npz`` file that is replaced as a whole.

    The file is only ever a saving of time: one that is damaged, or was written with other settings, is
    passed over and replaced.

    Parameters
    ----------
    path
        The file.
    settings
        Fingerprint of the descriptor's settings and elements.
    """

    def __init__(self, path: Path, settings: str) -> None:
        self._path = path
        self._settings = settings
        self._known: dict[str, FrameValues] = {}
        if path.exists():
            try:
                self._known = dict(self._read())
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                _log.warning("%s: cannot be read (%s); its descriptors are computed again", path, error)

    def _read(self) -> Iterator[tuple[str, FrameValues]]:
        with self._path.open("rb") as handle, np.load(handle, allow_pickle=False) as file:
            if str(file["settings"]) != self._settings:
                return
            keys = file["keys"]
            elements = [str(symbol) for symbol in file["elements"]]
            blocks = {
                symbol: np.split(file[f"values_{symbol}"], np.cumsum(file[f"counts_{symbol}"])[:-1])
                for symbol in elements
            }
        for position, key in enumerate(keys):
            yield str(key), {symbol: blocks[symbol][position] for symbol in elements}

    def get(self, key: str) -> FrameValues | None:
        """Descriptors of the frame with this key, None if they are not known."""
        return self._known.get(key)

    def add(self, new: Mapping[str, FrameValues]) -> None:
        """Add frames' descriptors and replace the file."""
        if not new:
            return
        self._known.update(new)
        elements = sorted(next(iter(new.values())))
        arrays = {
            "settings": np.array(self._settings),
            "keys": np.array(list(self._known)),
            "elements": np.array(elements),
        }
        for symbol in elements:
            blocks = [values[symbol] for values in self._known.values()]
            arrays[f"counts_{symbol}"] = np.array([len(block) for block in blocks], dtype=np.int64)
            arrays[f"values_{symbol}"] = np.concatenate(blocks)
        with replacing(self._path) as temporary, temporary.open("wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]
