"""What add_label reported as stored is there after SIGKILL at any moment."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llzo_al.dataset.store import LabelStore

WORKER = Path(__file__).with_name("labelling_until_killed.py")


@pytest.mark.kill
def test_no_reported_label_is_lost(tmp_path):
    path = tmp_path / "labels.sqlite"
    moments = random.Random(5)
    reported: set[str] = set()
    for kill in range(6):
        workers = [
            subprocess.Popen(
                [sys.executable, str(WORKER), str(path), str(1000 * (2 * kill + number))],
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            for number in range(2)
        ]
        seen = [worker.stdout.readline() for worker in workers]
        time.sleep(moments.uniform(0.0, 0.3))
        for worker, first in zip(workers, seen, strict=True):
            worker.kill()
            text = first + worker.communicate()[0]
            reported |= {line for line in text.split("\n")[:-1] if line}
        stored = {record.identity for record in LabelStore(path).records()}
        assert reported <= stored
    assert len(reported) > 12
