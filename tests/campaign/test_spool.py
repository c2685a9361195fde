"""Frames in a file between their making and the label store."""

from dataclasses import replace

import numpy as np

from llzo_al.campaign.spool import read_frames, write_frame
from llzo_al.dataset.frames import Frame, Label, Provenance


def frame(seed, **more):
    rng = np.random.default_rng(seed)
    return Frame(
        symbols=("Li", "O", "Li"),
        positions_A=rng.normal(scale=5, size=(3, 3)),
        cell_A=rng.normal(scale=9, size=(3, 3)),
        provenance=Provenance(
            source="test",
            kind="é",
            group=f"g/{seed}",
            frame=seed,
            temperature_K=300.5,
            details={"a": [1, 0.1]},
        ),
        **more,
    )


def test_every_field_comes_back_exactly(tmp_path):
    rng = np.random.default_rng(0)
    label = Label(
        energy_eV=np.float64(-1 / 3),
        forces_eV_per_A=rng.normal(size=(3, 3)),
        virial_eV=None,
        wall_s=0.1,
        program="VASP 6",
    )
    given = [
        (frame(0), None),
        (frame(1, charge=-1, multiplicity=3, periodic=(True, False, True)), label),
        (frame(2), replace(label, virial_eV=rng.normal(size=(3, 3)))),
    ]
    path = tmp_path / "frames.jsonl"
    with path.open("w", encoding="utf-8") as handle:
        for each in given:
            write_frame(handle, *each)
    for (wanted, wanted_label), (found, found_label) in zip(given, read_frames(path), strict=True):
        for name in ("positions_A", "cell_A"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        for name in ("symbols", "periodic", "charge", "multiplicity", "provenance"):
            assert getattr(found, name) == getattr(wanted, name)
        assert (found_label is None) is (wanted_label is None)
        if wanted_label is not None:
            for name in ("energy_eV", "wall_s", "program"):
                assert getattr(found_label, name) == getattr(wanted_label, name)
            np.testing.assert_array_equal(found_label.forces_eV_per_A, wanted_label.forces_eV_per_A)
            if wanted_label.virial_eV is None:
                assert found_label.virial_eV is None
            else:
                np.testing.assert_array_equal(found_label.virial_eV, wanted_label.virial_eV)
