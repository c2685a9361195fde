"""Stores labels one after the other and says so after each; killed by the test."""

from __future__ import annotations

import sys
from pathlib import Path

from dataset_helpers import PHYSICS, make_frame, make_label

from llzo_al.dataset.store import LabelStore

store = LabelStore(Path(sys.argv[1]))
for seed in range(int(sys.argv[2]), 10**6):
    frame = make_frame(seed, "LiO")
    (identity,) = store.request([frame], physics=PHYSICS, split="training")
    if store.add_label(identity, make_label(frame, seed=seed)):
        print(identity, flush=True)
