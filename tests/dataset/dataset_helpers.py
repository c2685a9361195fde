"""Random frames, labels and records for the tests of the data set."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from hypothesis import strategies as st

from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.dataset.records import Record, Split

PHYSICS = {"method": "classical reference", "cutoff_A": 6.0}
ELEMENTS = ("Li", "La", "Zr", "O")


def make_frame(seed: int = 0, symbols: str = "LiOLaO", **changes: Any) -> Frame:
    """A random triclinic frame."""
    from ase.symbols import string2symbols

    random = np.random.default_rng(seed)
    names = tuple(string2symbols(symbols))
    values: dict[str, Any] = {
        "symbols": names,
        "positions_A": random.uniform(-3, 9, (len(names), 3)),
        "cell_A": np.diag([6.0, 7.0, 8.0]) + random.uniform(-1, 1, (3, 3)),
        "provenance": Provenance(source="crystals", kind="test", group=f"group-{seed}", frame=seed),
    }
    return Frame(**(values | changes))


def make_label(frame: Frame, seed: int = 0, *, scale: float = 1.0, virial: bool = True) -> Label:
    """A random label of the right shape."""
    random = np.random.default_rng(1000 + seed)
    stress = random.normal(size=(3, 3))
    return Label(
        energy_eV=float(random.normal(-4206.0, 10.0)),
        forces_eV_per_A=scale * random.normal(size=(frame.n_atoms, 3)),
        virial_eV=stress + stress.T if virial else None,
        wall_s=0.25,
        program="VASP 6.4.2",
    )


def make_record(frame: Frame, label: Label | None, split: Split = "training") -> Record:
    """A record that was never in a store."""
    identity = "v1-" + hashlib.sha256(frame.positions_A.tobytes()).hexdigest()
    return Record(
        identity=identity,
        frame=frame,
        label=label,
        failure=None,
        split=split,
        provenances=(frame.provenance,),
        physics_hash="0" * 64,
    )


_GRID = 10**6
ALWAYS_PERIODIC = st.just((True, True, True))


@st.composite
def frames(draw: Any, *, periodic: Any = ALWAYS_PERIODIC) -> Frame:
    """Triclinic, left- and right-handed cells; atoms inside, outside and exactly on the faces."""
    lengths = [draw(st.integers(3 * _GRID, 20 * _GRID)) for _ in range(3)]
    tilt = st.integers(-_GRID, _GRID)
    cell = np.array([[lengths[i] if i == j else draw(tilt) for j in range(3)] for i in range(3)]) / _GRID
    if draw(st.booleans()):
        cell = cell[[1, 0, 2]]
    fraction = st.one_of(
        st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 1 - 1e-9, -1e-9, 1e-9]), st.floats(-2.0, 2.0, width=32)
    )
    count = draw(st.integers(1, 6))
    fractional = np.array([[draw(fraction) for _ in range(3)] for _ in range(count)])
    return Frame(
        symbols=tuple(draw(st.sampled_from(ELEMENTS)) for _ in range(count)),
        positions_A=fractional @ cell,
        cell_A=cell,
        periodic=draw(periodic),
        charge=draw(st.integers(-2, 2)),
        multiplicity=draw(st.one_of(st.none(), st.integers(1, 4))),
        provenance=Provenance(source="test", kind="random", group="random"),
    )
