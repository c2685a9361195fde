"""SOAP descriptors of atomic environments: the same in every iteration, whatever the model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from llzo_al.config.coverage import Descriptor
from llzo_al.coverage.cache import DescriptorCache, FrameValues
from llzo_al.coverage.environments import Environments
from llzo_al.dataset.frames import Frame
from llzo_al.errors import StageError
from llzo_al.files import fingerprint
from llzo_al.progress import ProgressFile


def soap_environments(
    frames: Sequence[Frame],
    settings: Descriptor,
    elements: Sequence[str],
    *,
    cache: Path | None = None,
    progress: ProgressFile | None = None,
) -> Environments:
    """SOAP descriptors of every atom of the frames.

    The power spectrum of Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), in dscribe's GTO basis,
    compressed as `settings` say (Darby, Kermode and Csányi, npj Comput. Mater. 8, 166 (2022)).

    Parameters
    ----------
    frames
        Periodic or not, along each vector on its own.
    settings
        Cutoff, basis and compression.
    elements
        All elements that may occur; a descriptor has the same features in all sets with the same elements.
    cache
        A ``.npz`` file that keeps descriptors by structure; frames found there are not computed again.
    progress
        Told of each frame that is computed.

    Returns
    -------
    Environments
        Within a frame in the order of its atoms, stored as float32.

    Raises
    ------
    StageError
        If a frame holds another element, has a periodic direction without a lattice vector, or if a
        descriptor is not finite.
    """
    elements = tuple(elements)
    _check_frames(frames, elements)
    store = None
    if cache is not None:
        store = DescriptorCache(cache, _settings_key(settings, elements))
    soap: Any = None
    per_frame: list[FrameValues] = []
    new: dict[str, FrameValues] = {}
    for number, frame in enumerate(frames):
        key = structure_key(frame)
        values = new.get(key)
        if values is None and store is not None:
            values = store.get(key)
        if values is None:
            soap = soap if soap is not None else _soap(settings, elements)
            values = _frame_values(soap, frame, elements, number)
            new[key] = values
        per_frame.append(values)
        if progress is not None:
            progress.update(number + 1)
    if store is not None:
        store.add(new)
    return _collect(per_frame, elements)


def structure_key(frame: Frame) -> str:
    """Hash of what descriptors depend on: species, positions, cell and periodicity, in the frame's order."""
    digest = hashlib.sha256(" ".join(frame.symbols).encode())
    for array in (frame.positions_A, frame.cell_A, np.array(frame.periodic, dtype=np.float64)):
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()


def _settings_key(settings: Descriptor, elements: tuple[str, ...]) -> str:
    return fingerprint(
        {"settings": settings.settings(), "elements": elements, "dscribe": version("dscribe"), "layout": 1}
    )


def _soap(settings: Descriptor, elements: tuple[str, ...]) -> Any:
    from dscribe.descriptors import SOAP  # slow to import, and not needed when the cache holds everything

    return SOAP(
        species=list(elements),
        r_cut=settings.cutoff_A,
        n_max=settings.n_max,
        l_max=settings.l_max,
        sigma=settings.sigma_A,
        compression={"mode": settings.compression},
        periodic=True,  # along the directions in which the frame is periodic
        dtype="float32",
    )


def _check_frames(frames: Sequence[Frame], elements: tuple[str, ...]) -> None:
    for number, frame in enumerate(frames):
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


def _frame_values(soap: Any, frame: Frame, elements: tuple[str, ...], number: int) -> FrameValues:
    atoms = frame.to_atoms()
    atoms.set_cell(atoms.cell.complete())  # dscribe wants a volume where any direction is periodic
    atoms.wrap()  # dscribe looks for neighbours around the cell, not around the atom
    values = np.asarray(soap.create(atoms), dtype=np.float32)
    if not np.isfinite(values).all():
        raise StageError(
            f"frame {number} ({frame.provenance.group}): descriptors are not finite; remove the frame"
        )
    symbols = np.array(frame.symbols)
    return {symbol: values[symbols == symbol] for symbol in elements}


def _collect(per_frame: Sequence[FrameValues], elements: tuple[str, ...]) -> Environments:
    values, index = {}, {}
    for symbol in elements:
        blocks = [frame[symbol] for frame in per_frame]
        values[symbol] = np.concatenate(blocks) if blocks else np.zeros((0, 0), dtype=np.float32)
        index[symbol] = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    return Environments(elements=elements, values=values, frame_index=index, n_frames=len(per_frame))
