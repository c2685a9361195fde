"""What add_label reported as stored is there after SIGKILL at any moment."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
from dataset_helpers import PHYSICS, make_frame, make_label

from llzo_al.dataset.store import LabelStore


def label_until_killed(path: Path, start: int, told: Path) -> None:
    """Store labels one after the other, and tell of each after it is stored."""
    store = LabelStore(path)
    descriptor = os.open(told, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for seed in range(start, start + 10**6):
        frame = make_frame(seed, "LiO")
        (identity,) = store.request([frame], physics=PHYSICS, split="training")
        if store.add_label(identity, make_label(frame, seed=seed)):
            os.write(descriptor, f"{identity}\n".encode())


@pytest.mark.kill
def test_no_reported_label_is_lost(tmp_path):
    path, told = tmp_path / "labels.sqlite", tmp_path / "told"
    moments = random.Random(5)
    processes = multiprocessing.get_context("fork")
    known = 0
    for kill in range(12):
        workers = [
            processes.Process(target=label_until_killed, args=(path, 10**7 * (2 * kill + number), told))
            for number in range(2)
        ]
        for worker in workers:
            worker.start()
        while not told.exists() or told.read_bytes().count(b"\n") <= known:
            assert all(worker.is_alive() for worker in workers)
            time.sleep(0.005)
        time.sleep(moments.uniform(0.0, 0.1))
        for worker in workers:
            worker.kill()
            worker.join()
        reported = set(told.read_text().split())
        stored = {record.identity: record for record in LabelStore(path).records()}
        assert reported <= set(stored)
        assert len(stored) - len(reported) <= 2 * (kill + 1)
        known = len(reported)
    assert known >= 12
