"""Numbers of frames in a report."""

import numpy as np

from campaigns import make_tiny
from llzo_al.campaign import initial
from llzo_al.campaign.facts import campaign_facts
from llzo_al.dataset.frames import Label


def test_a_frame_above_the_force_cap_is_counted_once(tmp_path):
    campaign = make_tiny(tmp_path)
    initial.prepare_initial_data(campaign)
    beyond = 2 * campaign.config.dataset.force_cap_eV_per_A
    records = list(campaign.store.records(labelled=False, physics=campaign.physics))
    for number, record in enumerate(records):
        forces = np.zeros((record.frame.n_atoms, 3))
        forces[0, 0] = beyond if number % 2 else 0.1
        label = Label(
            energy_eV=-1.0, forces_eV_per_A=forces, virial_eV=None, program="VASP 6.4.2" if number else ""
        )
        campaign.store.add_label(record.identity, label)
    totals = campaign_facts(campaign).totals
    assert totals.programs == {"VASP 6.4.2": len(records) - 1, "": 1}
    labels = totals.labels
    assert labels.excluded == len(records) // 2
    assert labels.training + labels.held_out + labels.excluded == len(records)
    assert labels.new == len(records)
