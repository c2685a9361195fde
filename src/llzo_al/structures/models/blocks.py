"""Blocks cut from a large periodic cell into an empty box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from llzo_al.config.initial_data.blocks import Blocks
from llzo_al.dataset.frames import Frame
from llzo_al.errors import UserError
from llzo_al.structures.library import load_structure
from llzo_al.structures.models.amorphous import random_box
from llzo_al.structures.models.charges import counts_of, formula, ionic_charges_e
from llzo_al.structures.models.copies import model_frames
from llzo_al.structures.models.distances import density_g_per_cm3
from llzo_al.structures.names import kind_of, seeds

_WHERE = "initial_data (blocks)"

Block = tuple[int, int, int]


def block_frames(source: Blocks, elements: Sequence[str], *, base: Path, seed: int) -> Iterator[Frame]:
    """The blocks of a large cell, one at a time.

    The large cell is divided along its three vectors; each part, with its atoms where they are, is put into
    the middle of an empty cubic box.

    Parameters
    ----------
    source, elements, base, seed
        As for `llzo_al.structures.models.frames.model_source_frames`.

    Raises
    ------
    UserError
        If the large cell cannot be made, is not periodic, or a block does not fit into the box.
    """
    parent, name, kind = _parent(source, elements, base, seed)
    extents_A = _extents_A(parent, source.divisions)
    if max(extents_A) + source.vacuum_min_A > source.box_length_A:
        raise UserError(
            f"{_WHERE}: a block of {name} is {' x '.join(f'{extent:.1f}' for extent in extents_A)} angstrom; "
            f"with vacuum_min_A ({source.vacuum_min_A:g}) it does not fit into box_length_A "
            f"({source.box_length_A:g}); raise box_length_A or the divisions"
        )
    blocks = divide(parent, source.divisions)
    for block in _chosen(blocks, source, name, seed):
        places = blocks[block]
        atoms = _boxed(parent, places, block, source)
        numbers = ".".join(str(number) for number in block)
        yield from model_frames(
            atoms,
            source,
            name=f"{name}/{'x'.join(map(str, source.divisions))}/{numbers}",
            structure_kind=f"block of {kind}",
            details=_details(atoms, parent, block, extents_A, name),
            seed=seed,
        )


def divide(atoms: Atoms, divisions: Sequence[int]) -> dict[Block, list[int]]:
    """Atoms of each part of a periodic cell that is divided along its three vectors."""
    scaled = atoms.get_scaled_positions(wrap=True)
    parts = np.minimum((scaled * list(divisions)).astype(int), np.array(divisions) - 1)
    blocks: dict[Block, list[int]] = {
        (i, j, k): [] for i, j, k in product(*(range(number) for number in divisions))
    }
    for place, (i, j, k) in enumerate(parts.tolist()):
        blocks[i, j, k].append(place)
    return blocks


def _parent(source: Blocks, elements: Sequence[str], base: Path, seed: int) -> tuple[Atoms, str, str]:
    """The large cell, its name, and its kind for the reports."""
    if source.structure is not None:
        atoms = load_structure(
            source.structure, base=base, supercell=source.parent_supercell, frame=source.frame
        )
        if not atoms.pbc.all():
            raise UserError(
                f"{_WHERE}: {source.structure}: the large cell must be periodic in three directions"
            )
        name = source.structure if source.frame == -1 else f"{source.structure}@{source.frame}"
        if max(source.parent_supercell) > 1:
            name += "." + "x".join(str(number) for number in source.parent_supercell)
        return atoms, name, kind_of(source.structure)
    melt = source.melt
    if melt is None:
        raise UserError(f"{_WHERE}: neither structure nor melt is given")
    atoms, details, label = random_box(
        melt.composition,
        n_atoms=melt.n_atoms,
        density_g_per_cm3=melt.density_g_per_cm3,
        min_distances_A=melt.min_distances_A,
        elements=elements,
        what=(seed, "blocks"),
        where=f"{_WHERE}: melt",
    )
    return atoms, f"melt/{label}", f"melt {details['ratio']}"


def _extents_A(atoms: Atoms, divisions: Sequence[int]) -> tuple[float, float, float]:
    """Extent of a block along x, y and z."""
    edges = np.array(atoms.cell) / np.array(divisions)[:, None]
    x, y, z = (float(extent) for extent in np.abs(edges).sum(axis=0))
    return x, y, z


def _chosen(blocks: dict[Block, list[int]], source: Blocks, name: str, seed: int) -> list[Block]:
    """Blocks with enough atoms; of more than are wanted a random choice, in the order of the cell."""
    large = [block for block, places in blocks.items() if len(places) >= source.min_atoms]
    if not large:
        raise UserError(
            f"{_WHERE}: no block of {name} has min_atoms ({source.min_atoms}) atoms; lower min_atoms or the "
            "divisions"
        )
    if source.max_blocks is None or source.max_blocks >= len(large):
        return large
    random = np.random.default_rng(seeds(seed, "blocks", name, tuple(source.divisions)))
    # The first of a random order, so that more blocks keep those of fewer.
    return sorted(large[place] for place in random.permutation(len(large))[: source.max_blocks])


def _boxed(parent: Atoms, places: Sequence[int], block: Block, source: Blocks) -> Atoms:
    cell = np.array(parent.cell)
    middle = (np.array(block) + 0.5) / np.array(source.divisions)
    scaled = parent.get_scaled_positions(wrap=True)[list(places)] - middle
    return Atoms(
        [parent.symbols[place] for place in places],
        positions=scaled @ cell + source.box_length_A / 2,
        cell=[source.box_length_A] * 3,
        pbc=True,
    )


def _details(
    atoms: Atoms, parent: Atoms, block: Block, extents_A: Sequence[float], name: str
) -> dict[str, Any]:
    symbols = atoms.get_chemical_symbols()
    of_parent = dict(
        zip(
            parent.get_chemical_symbols(),
            ionic_charges_e(parent.get_chemical_symbols(), where=_WHERE).tolist(),
            strict=True,
        )
    )
    return {
        "parent": name,
        "parent_atoms": len(parent),
        "parent_density_g_per_cm3": round(density_g_per_cm3(parent), 4),
        "block": list(block),
        "block_extents_A": [round(extent, 3) for extent in extents_A],
        "composition": formula(counts_of(sorted(symbols))),
        "formal_charge_e": sum(of_parent[symbol] for symbol in symbols),
    }
