"""Descriptors of atomic environments: SOAP, the same in every iteration whatever the model, and any other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from llzo_al.config.coverage import Descriptor
from llzo_al.coverage.cache import DescriptorCache, FrameValues
from llzo_al.coverage.environments import Environments
from llzo_al.coverage.stored import StoredEnvironments, write_environments
from llzo_al.dataset.frames import Frame
from llzo_al.errors import StageError
from llzo_al.files import fingerprint
from llzo_al.progress import ProgressFile


class Describer(Protocol):
    """What makes descriptors: all that another kind of descriptor has to offer."""

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements that may occur; the features are the same for all sets with the same elements."""
        ...

    @property
    def key(self) -> str:
        """Fingerprint of all that a descriptor depends on besides the structure."""
        ...

    def describe(self, frames: Sequence[Frame]) -> Iterator[FrameValues]:
        """Descriptors of each frame's atoms by element, shape (n_atoms_of_the_element, n_features), float32.

        Within an element in the order of the frame's atoms.
        """
        ...


class SoapDescriber:
    """The power spectrum of Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013).

    In dscribe's GTO basis, compressed as the settings say (Darby, Kermode and Csányi, npj Comput. Mater. 8,
    166 (2022)).

    Parameters
    ----------
    settings
        Cutoff, basis and compression.
    elements
        All elements that may occur.
    """

    def __init__(self, settings: Descriptor, elements: Sequence[str]) -> None:
        self._settings = settings
        self._elements = tuple(elements)
        self._soap: Any = None

    @property
    def elements(self) -> tuple[str, ...]:
        """Elements that may occur."""
        return self._elements

    @property
    def key(self) -> str:
        """Fingerprint of settings, elements and dscribe's version."""
        return fingerprint(
            {
                "settings": self._settings.settings(),
                "elements": self._elements,
                "dscribe": version("dscribe"),
                "layout": 2,
            }
        )

    def describe(self, frames: Sequence[Frame]) -> Iterator[FrameValues]:
        """See `Describer.describe`."""
        for frame in frames:
            atoms = frame.to_atoms()
            atoms.set_cell(atoms.cell.complete())  # dscribe wants a volume where any direction is periodic
            atoms.wrap()  # dscribe looks for neighbours around the cell, not around the atom
            values = np.asarray(self._dscribe().create(atoms), dtype=np.float32)
            symbols = np.array(frame.symbols)
            yield {symbol: values[symbols == symbol] for symbol in self._elements}

    def _dscribe(self) -> Any:
        if self._soap is None:
            from dscribe.descriptors import (
                SOAP,
            )  # slow to import, and not needed when a cache holds everything

            self._soap = SOAP(
                species=list(self._elements),
                r_cut=self._settings.cutoff_A,
                n_max=self._settings.n_max,
                l_max=self._settings.l_max,
                sigma=self._settings.sigma_A,
                compression={"mode": self._settings.compression},
                periodic=True,  # along the directions in which the frame is periodic
                dtype="float32",
            )
        return self._soap


def soap_environments(
    frames: Sequence[Frame],
    settings: Descriptor,
    elements: Sequence[str],
    *,
    cache: Path | None = None,
    progress: ProgressFile | None = None,
) -> Environments:
    """SOAP descriptors of every atom of the frames; see `SoapDescriber` and `environments_of`."""
    return environments_of(frames, SoapDescriber(settings, elements), cache=cache, progress=progress)


def environments_of(
    frames: Sequence[Frame],
    describer: Describer,
    *,
    cache: Path | None = None,
    progress: ProgressFile | None = None,
) -> Environments:
    """Descriptors of every atom of the frames, in memory.

    Parameters
    ----------
    frames
        Periodic or not, along each vector on its own.
    describer
        Makes the descriptors.
    cache
        A ``.npz`` file that keeps descriptors by structure; frames found there are not computed again.
    progress
        Told of each frame that is computed.

    Raises
    ------
    StageError
        If a frame holds another element, has a periodic direction without a lattice vector, or if a
        descriptor is not finite.
    """
    _check_frames(frames, describer.elements)
    store = None if cache is None else DescriptorCache(cache, describer.key)
    keys = [structure_key(frame) for frame in frames]
    known: dict[str, FrameValues] = {}
    wanted: dict[str, Frame] = {}
    for key, frame in zip(keys, frames, strict=True):
        values = None if store is None else store.get(key)
        if values is not None:
            known[key] = values
        else:
            wanted.setdefault(key, frame)
    new = {}
    made = _checked(describer, list(wanted.values()))
    if progress is not None:
        progress.begin(len(known))
    for number, (key, values) in enumerate(zip(wanted, made, strict=True)):
        new[key] = values
        if progress is not None:
            progress.update(len(known) + number + 1)
    if store is not None:
        store.add(new)
    return _collect([known[key] if key in known else new[key] for key in keys], describer.elements)


def stored_environments(
    frames: Iterable[Sequence[Frame]],
    describer: Describer,
    folder: Path,
    *,
    told: Callable[[int], None] | None = None,
) -> StoredEnvironments:
    """Descriptors of every atom of the frames, on disk; see `environments_of` for what is refused.

    Parameters
    ----------
    frames
        Some frames at a time: only so many are in memory.
    describer
        Makes the descriptors.
    folder
        Where they are written.
    told
        Called with the number of frames that are described, after each.
    """

    def values() -> Iterator[FrameValues]:
        done = 0
        for batch in frames:
            _check_frames(batch, describer.elements, first=done)
            for one in _checked(describer, batch, first=done):
                done += 1
                if told is not None:
                    told(done)
                yield one

    return write_environments(folder, describer.elements, values())


def structure_key(frame: Frame) -> str:
    """Hash of what descriptors depend on: species, positions, cell and periodicity, in the frame's order."""
    digest = hashlib.sha256(" ".join(frame.symbols).encode())
    for array in (frame.positions_A, frame.cell_A, np.array(frame.periodic, dtype=np.float64)):
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()


def _check_frames(frames: Sequence[Frame], elements: tuple[str, ...], first: int = 0) -> None:
    for number, frame in enumerate(frames, start=first):
        others = sorted(set(frame.symbols) - set(elements))
        if others:
            raise StageError(
                f"frame {number} ({frame.provenance.group}) holds {', '.join(others)}, expected only "
                f"{', '.join(elements)}; add the element to `elements` or remove the frame"
            )
        for axis, periodic in enumerate(frame.periodic):
            if periodic and not frame.cell_A[axis].any():
                raise StageError(
                    f"frame {number} ({frame.provenance.group}) is periodic along vector {axis}, "
                    "but that lattice vector is zero"
                )


def _checked(describer: Describer, frames: Sequence[Frame], first: int = 0) -> Iterator[FrameValues]:
    made = describer.describe(frames)
    for number, (frame, values) in enumerate(zip(frames, made, strict=True), start=first):
        if not all(np.isfinite(block).all() for block in values.values()):
            raise StageError(
                f"frame {number} ({frame.provenance.group}): descriptors are not finite; remove the frame"
            )
        yield values


def _collect(per_frame: Sequence[FrameValues], elements: tuple[str, ...]) -> Environments:
    values, index = {}, {}
    for symbol in elements:
        blocks = [frame[symbol] for frame in per_frame]
        values[symbol] = np.concatenate(blocks) if blocks else np.zeros((0, 0), dtype=np.float32)
        index[symbol] = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    return Environments(elements=elements, values=values, frame_index=index, n_frames=len(per_frame))
