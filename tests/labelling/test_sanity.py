"""Frames that no labeller is asked for, and labels that none is believed."""

import numpy as np
import pytest

from llzo_al.dataset.frames import Frame, Label, Provenance
from llzo_al.labelling.causes import CAUSES
from llzo_al.labelling.sanity import disbelief, refusal


def pair(symbols, distance_A, *, source="crystals", periodic=True, box_A=12.0, at=0.0):
    return Frame(
        symbols=symbols,
        positions_A=np.array([[at, 0.0, 0.0], [at + distance_A, 0.0, 0.0]]),
        cell_A=np.eye(3) * box_A,
        periodic=(periodic,) * 3,
        provenance=Provenance(source=source, kind="test", group="g"),
    )


def refused(frame, *, fraction=0.5, given=None):
    return refusal(frame, min_distance_fraction=fraction, min_distances_A=given or {})


@pytest.mark.parametrize(
    ("symbols", "radii_sum_A"),
    [(("Li", "O"), 1.28 + 0.66), (("Zr", "La"), 1.75 + 2.07), (("O", "O"), 2 * 0.66)],
)
@pytest.mark.parametrize("periodic", [True, False])
def test_the_limit_is_a_share_of_the_covalent_radii(symbols, radii_sum_A, periodic):
    assert refused(pair(symbols, 0.5 * radii_sum_A + 0.01, periodic=periodic)) is None
    failure = refused(pair(symbols, 0.5 * radii_sum_A - 0.01, periodic=periodic))
    assert failure.cause == "atoms too close"
    assert failure.cause in CAUSES
    assert f"{symbols[0]} (atom 0) and {symbols[1]} (atom 1)" in failure.reason


def test_images_count():
    across = pair(("Li", "O"), 11.5)
    assert "0.50 Å apart" in refused(across).reason
    assert refused(pair(("Li", "O"), 11.5, periodic=False)) is None
    alone = pair(("Li", "O"), 0.4 * 2, box_A=1.0)
    assert refused(alone) is not None


def test_single_pairs_have_limits_of_their_own_in_either_order():
    frame = pair(("Li", "O"), 1.5)
    assert refused(frame) is None
    for name in ("Li-O", "O-Li"):
        assert refused(frame, given={name: 1.6}) is not None
        assert refused(pair(("Li", "O"), 0.5), given={name: 0.0}) is None
    assert refused(frame, given={"Li-Li": 9.0}) is None


def test_dimers_are_meant_to_be_close():
    assert refused(pair(("O", "O"), 0.3, source="dimers")) is None


def test_no_limits_refuse_nothing():
    assert refused(pair(("O", "O"), 0.01), fraction=0.0) is None


def test_absurd_forces():
    def label(force):
        return Label(energy_eV=-1.0, forces_eV_per_A=np.array([[0.1, 0, 0], [0, 0, force]]), virial_eV=None)

    assert disbelief(label(999.0), max_force_eV_per_A=1000.0) is None
    failure = disbelief(label(-1001.0), max_force_eV_per_A=1000.0)
    assert failure.cause == "absurd forces"
    assert "atom 1 is 1001 eV/Å" in failure.reason
