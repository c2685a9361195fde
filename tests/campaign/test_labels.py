"""Labels that fail: attempts, quarantine, what stops a campaign, and the jobs that frames are cut into."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from flaky_labeller import Flaky

from campaigns import CRYSTALS, REFERENCE_MD, make_tiny, write_tiny
from llzo_al.campaign import closing, final, initial, labels, summing_up
from llzo_al.campaign.changed import changes_since_the_last_run
from llzo_al.campaign.dataset_stage import export_dataset, failed_labels
from llzo_al.campaign.label_lists import find_record, label_facts, label_list, retry
from llzo_al.campaign.label_log import NOTES, LabelJobLog, settle_killed_jobs
from llzo_al.campaign.label_tables import render_facts
from llzo_al.campaign.quarantine import quarantined
from llzo_al.campaign.retrying import fixed_in_words
from llzo_al.config.load import load_campaign
from llzo_al.dataset.frames import Frame, LabelFailure, Provenance
from llzo_al.errors import EngineError, StageError, UserError
from llzo_al.files import read_json_lines
from llzo_al.labelling.base import make_labeller
from llzo_al.labelling.jobs import frame_directory
from llzo_al.selection.stopping import Decision

DIMERS = {CRYSTALS: "", REFERENCE_MD: ""}
"""What leaves the dimers only."""


def make(directory, failures="", **replacements):
    """A campaign of four dimers."""
    text = {**DIMERS, "labelling:\n": f"{failures}labelling:\n"}
    campaign = make_tiny(directory, **(text | replacements))
    with_labeller(campaign, {})
    return campaign


def with_labeller(campaign, script, kind=Flaky, **options):
    inner = make_labeller(campaign.config.labelling, campaign.config.elements)
    campaign.__dict__["labeller"] = kind(inner, script, **options)
    return campaign.labeller


def label_all(campaign):
    identities = initial.prepare_initial_data(campaign).identities
    return [labels.label_frames(campaign, job) for job in labels.label_jobs(campaign, identities)]


@pytest.fixture
def campaign(tmp_path):
    return make(tmp_path)


def test_a_passing_failure_is_tried_again_in_a_job_of_its_own(campaign):
    labeller = with_labeller(campaign, {1: ["crash"], 2: ["not converged"]}, files={"OUTCAR": b"..."})
    assert label_all(campaign) == [{"labelled": 4, "failed": 0, "shared": 0}]
    assert [(attempt, len(frames)) for attempt, frames in labeller.calls] == [(1, 4), (2, 2)]
    assert campaign.store.counts().total.labelled == 4
    assert label_list(campaign).recovered == 2
    assert not list((campaign.directory.root / "quarantine").glob("*/*"))  # they have their labels
    lines = read_json_lines(campaign.directory.label_log)
    assert [(line["attempt"], line["labelled"], line["failed"]) for line in lines] == [(1, 2, 2), (2, 2, 0)]
    assert lines[0]["causes"] == {"crash": 1, "not converged": 1}
    assert not list(campaign.directory.label_jobs.iterdir())


def test_attempts_are_limited_by_cause(tmp_path):
    settings = "failures:\n  attempts: {crash: 3, calculator_error: 2}\n"
    campaign = make(tmp_path, settings)
    script = {
        0: ["crash", "crash", "crash"],
        1: ["not finite"],
        2: ["calculator error", "calculator error"],
        3: ["time limit", "crash"],
    }
    labeller = with_labeller(campaign, script)
    assert label_all(campaign) == [{"labelled": 1, "failed": 3, "shared": 0}]
    assert [attempt for attempt, _ in labeller.calls] == [1, 2, 3]
    assert campaign.store.counts().failure_causes == {"calculator error": 1, "crash": 1, "not finite": 1}
    assert label_all(campaign) == []


def test_a_killed_attempt_does_not_count_and_earlier_ones_do(campaign):
    with_labeller(campaign, {0: ["crash"]}, raises=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        label_all(campaign)
    assert campaign.store.counts().total.labelled == 3
    again = with_labeller(campaign, {0: ["crash", "crash"]})
    assert label_all(campaign) == [{"labelled": 0, "failed": 1, "shared": 0}]
    assert [attempt for attempt, _ in again.calls] == [2]


def test_quarantine_keeps_the_reason_and_the_files_up_to_a_limit(tmp_path):
    campaign = make(tmp_path, "failures:\n  quarantine_limit_MB: 0.02\n")
    files = {"INCAR": b"ENCUT = 500", "deep/vasp.out": b"x" * 5000, "OUTCAR": b"a" * 90000 + b"the end"}
    with_labeller(campaign, {0: ["not converged", "not converged"]}, files=files)
    label_all(campaign)
    (identity,) = [row.identity for row in label_list(campaign).failed]
    first, second = quarantined(campaign, identity)
    assert (first.name, second.name) == ("attempt-1", "attempt-2")
    assert (second / "INCAR").read_bytes() == files["INCAR"]
    assert (second / "deep" / "vasp.out").read_bytes() == files["deep/vasp.out"]
    assert not (second / "OUTCAR").exists()
    tail = (second / "OUTCAR.tail").read_bytes()
    assert tail.endswith(b"the end")
    assert len(tail) == 20000 - 5000 - len(files["INCAR"])
    reason = json.loads((second / "reason.json").read_text())
    assert (reason["cause"], reason["reason"]) == ("not converged", "attempt 2 went wrong")
    assert (reason["attempt"], reason["identity"]) == (2, identity)
    assert reason["cut_or_left_out"] == ["OUTCAR"]
    assert "Li" in (second / "frame.extxyz").read_text()


def test_without_files_of_the_frame_the_end_of_the_childs_log_is_kept(campaign):
    class Logging(Flaky):
        def _leave(self, place):
            (place.parent / "child.log").write_bytes(b"early " * 20000 + b"Segmentation fault")

    with_labeller(campaign, {0: ["not finite"]}, Logging)
    label_all(campaign)
    (row,) = label_list(campaign).failed
    (place,) = quarantined(campaign, row.identity)
    log = (place / "child.log").read_bytes()
    assert log.endswith(b"Segmentation fault")
    assert len(log) == 64 * 1024


def test_a_reason_names_the_place_where_the_files_are_kept(campaign):
    class Crashing(Flaky):
        def label(self, frames, directory, *, attempt=1, progress=None):
            for index, _ in enumerate(frames):
                log = frame_directory(directory, index) / "child.log"
                log.parent.mkdir()
                log.write_text("Segmentation fault")
                reason = f"ended with SIGSEGV; last lines of {directory / 'child.log'}:\nSegmentation fault"
                yield index, LabelFailure(cause="not finite", reason=reason)

    with_labeller(campaign, {}, Crashing)
    label_all(campaign)
    for row in label_list(campaign).failed:
        (place,) = quarantined(campaign, row.identity)
        assert str(campaign.directory.label_jobs) not in row.reason
        assert row.reason.startswith("ended with SIGSEGV; last lines of child.log:\nSegmentation fault\n")
        assert row.reason.endswith(
            f"its files: quarantine/{row.identity}/attempt-1 in the campaign directory"
        )
        assert (place / "child.log").read_text() == "Segmentation fault"
        assert json.loads((place / "reason.json").read_text())["reason"] == row.reason
    (told,) = failed_labels(campaign)
    assert told.startswith("4 failed: ended with SIGSEGV; last lines of child.log:\nSegmentation fault\n")


def test_atoms_too_close_are_refused_before_the_labeller_is_asked(campaign):
    initial.prepare_initial_data(campaign)
    frames = [
        Frame(
            symbols=("Li", "O"),
            positions_A=np.array([[0.0, 0, 0], [distance, 0, 0]]),
            cell_A=np.eye(3) * 16,
            provenance=Provenance(source=source, kind="pair", group=source),
        )
        for source, distance in (("exploration", 0.9), ("dimers", 0.91))
    ]
    identities = campaign.store.request(frames, physics=campaign.physics, split="training")
    labeller = with_labeller(campaign, {})
    assert labels.label_frames(campaign, identities) == {"labelled": 1, "failed": 1, "shared": 0}
    assert [len(asked) for _, asked in labeller.calls] == [1]
    assert campaign.store.counts().failure_causes == {"atoms too close": 1}
    (place,) = quarantined(campaign, identities[0])
    assert "0.90 Å apart" in json.loads((place / "reason.json").read_text())["reason"]


def test_absurd_forces_are_no_label_and_large_ones_are_one_that_is_not_used(tmp_path):
    plain = make(tmp_path / "a")
    label_all(plain)
    largest = sorted(record.max_force_eV_per_A for record in plain.store.records())
    limit = (largest[-1] + largest[-2]) / 2
    cap = (largest[-2] + largest[-3]) / 2
    settings = f"failures: {{max_force_eV_per_A: {limit}}}\ndataset: {{force_cap_eV_per_A: {cap}}}\n"
    campaign = make(tmp_path / "b", settings)
    assert label_all(campaign) == [{"labelled": 3, "failed": 1, "shared": 0}]
    counts = campaign.store.counts(force_cap_eV_per_A=cap)
    assert counts.failure_causes == {"absurd forces": 1}
    assert counts.total.excluded == 1


def test_a_labeller_that_forgets_a_frame_is_broken(campaign):
    class Forgetful(Flaky):
        def label(self, frames, directory, *, attempt=1, progress=None):
            yield from super().label(frames[:-1], directory, attempt=attempt)

    with_labeller(campaign, {}, Forgetful)
    with pytest.raises(EngineError, match="without a result for 1 of 4 frames"):
        label_all(campaign)
    assert campaign.store.counts().total.labelled == 3
    assert read_json_lines(campaign.directory.label_log)[-1]["ended"] == "EngineError"


@pytest.mark.parametrize(("share", "stops"), [(0.5, True), (0.25, False)])
def test_too_few_labels_stop_the_campaign_with_the_causes(tmp_path, share, stops):
    campaign = make(tmp_path, f"failures: {{min_success_share: {share}}}\n")
    with_labeller(campaign, {0: ["not finite"], 1: ["not finite"], 2: ["crash", "crash"]})
    label_all(campaign)
    if not stops:
        # of the one that is left, none is held out
        assert len(export_dataset(campaign, tmp_path / "d", before_iteration=0).training) <= 1
        return
    with pytest.raises(StageError) as caught:
        export_dataset(campaign, tmp_path / "d", before_iteration=0)
    told = str(caught.value)
    assert "1 of 4 labels of the initial data succeeded" in told
    assert "2 failed: attempt 1 went wrong (not finite)" in told
    assert "1 failed: attempt 2 went wrong (crash)" in told
    assert f"llzo-al labels retry {campaign.directory.root}" in told
    assert str(campaign.directory.root / "quarantine") in told
    assert not (tmp_path / "d").exists()


def test_labels_that_wait_count_as_missing(campaign, tmp_path):
    initial.prepare_initial_data(campaign)
    with pytest.raises(StageError, match="4 were not labelled because their job failed"):
        export_dataset(campaign, tmp_path / "d", before_iteration=0)


def test_jobs_share_a_composition_where_possible():
    def frames(symbols, n):
        return [
            (
                f"v1-{symbols}-{number}",
                Frame(
                    symbols=tuple(symbols),
                    positions_A=np.arange(3.0 * len(symbols)).reshape(-1, 3),
                    cell_A=np.eye(3) * 20,
                    provenance=Provenance(source="s", kind="k", group="g"),
                ),
            )
            for number in range(n)
        ]

    waiting = [*frames("LO", 0), *frames(["Li", "O"], 7), *frames(["O", "Li", "O"], 2), *frames(["Zr"], 1)]
    jobs = labels._cut(waiting, 3)
    compositions = {identity: labels._composition(frame) for identity, frame in waiting}
    kinds = [sorted({compositions[identity] for identity in job}) for job in jobs]
    assert sorted(identity for job in jobs for identity in job) == sorted(identity for identity, _ in waiting)
    assert [len(job) for job in jobs] == [3, 3, 3, 1]
    assert [len(kind) for kind in kinds] == [1, 1, 2, 1]
    assert labels._cut(waiting[::-1], 3) == jobs


def test_a_list_of_labels(campaign):
    with_labeller(campaign, {0: ["not finite"]})
    label_all(campaign)
    found = label_list(campaign)
    assert found.by_source == {"dimers": {"labelled": 3, "failed": 1}}
    assert sum(counts.get("failed", 0) for counts in found.by_split.values()) == 1
    assert found.causes == {"not finite": 1}
    (row,) = found.failed
    assert (row.cause, row.attempts, row.formula) == ("not finite", 1, "LiO")
    assert label_list(campaign, causes=["crash"]).failed == ()
    with pytest.raises(UserError, match="'oops' given; allowed: not converged, crash"):
        label_list(campaign, causes=["oops"])


def test_one_label_is_found_by_the_beginning_of_its_identity(campaign):
    with_labeller(campaign, {0: ["crash", "crash"]})
    label_all(campaign)
    (row,) = label_list(campaign).failed
    for prefix in (row.identity, row.identity[:15], row.identity[3:18]):
        facts = label_facts(campaign, find_record(campaign, prefix))
        assert facts["identity"] == row.identity
    assert facts["status"] == "failed"
    assert [attempt["number"] for attempt in facts["attempts"]] == [1, 2]
    assert len(facts["files"]) == 2
    text = "\n".join(render_facts(facts))
    assert "attempt 2 failed at" in text
    assert "files: " in text
    for record in campaign.store.records():
        facts = json.loads(json.dumps(label_facts(campaign, record)))
        assert facts["label"]["energy_eV_per_atom"] == record.label.energy_eV / 2
    with pytest.raises(UserError, match="4 frames begin like this"):
        find_record(campaign, "v1-")
    with pytest.raises(UserError, match="no frame of this campaign"):
        find_record(campaign, "v1-zzz")


def test_retrying_by_cause_by_identity_and_all(campaign):
    with_labeller(campaign, {0: ["not finite"], 1: ["absurd forces"], 2: ["absurd forces"]})
    label_all(campaign)
    by_cause = {row.cause: row.identity for row in label_list(campaign).failed}
    assert retry(campaign, causes=["not finite"], identities=None) == (1, 0)
    assert retry(campaign, causes=["not finite"], identities=None) == (0, 0)
    assert retry(campaign, causes=None, identities=[by_cause["absurd forces"][:20]]) == (1, 0)
    assert retry(campaign, causes=None, identities=None) == (1, 0)
    labeller = with_labeller(campaign, {})
    assert label_all(campaign) == [{"labelled": 3, "failed": 0, "shared": 0}]
    assert [attempt for attempt, _ in labeller.calls] == [1]  # anew


def stand(monkeypatch, number, *, stop=False, converged=False):
    """Have a campaign stand after `number` closed iterations."""
    made = Decision(converged=converged, stop=stop, reasons=())
    monkeypatch.setattr(closing, "first_open_iteration", lambda _: number)
    monkeypatch.setattr(closing, "decision", lambda *_: made)


def test_labels_of_closed_iterations_are_not_retried(campaign, monkeypatch):
    frame = Frame(
        symbols=("Li", "O"),
        positions_A=np.array([[0.0, 0, 0], [2.0, 0, 0]]),
        cell_A=np.eye(3) * 16,
        provenance=Provenance(source="exploration", kind="pair", group="g", iteration=0),
    )
    (identity,) = campaign.store.request([frame], physics=campaign.physics, split="candidate")
    campaign.store.add_failure(identity, LabelFailure(cause="crash", reason=""))
    stand(monkeypatch, 1)
    assert retry(campaign, causes=None, identities=None) == (0, 1)
    stand(monkeypatch, 0)
    assert retry(campaign, causes=None, identities=None) == (1, 0)


@pytest.mark.parametrize(("converged", "key"), [(True, "min_iterations"), (False, "max_iterations")])
def test_nothing_is_retried_once_the_last_data_set_is_written(campaign, monkeypatch, converged, key):
    with_labeller(campaign, {0: ["not finite"]})
    label_all(campaign)
    before = label_list(campaign)
    (failed,) = before.failed
    lines = list(render_facts(label_facts(campaign, find_record(campaign, failed.identity))))
    assert lines[-1] == f"  try again with: llzo-al labels retry DIR --identity {failed.identity[:15]}"
    stand(monkeypatch, 2, stop=True, converged=converged)
    assert fixed_in_words(campaign) == ""
    export_dataset(campaign, campaign.directory.final / "dataset", before_iteration=2)
    with pytest.raises(
        UserError, match=rf"the loop has stopped and its data.*stopping\.{key} above 2"
    ) as told:
        retry(campaign, causes=None, identities=None)
    monkeypatch.setattr(final, "finished_final", lambda _: "a potential")
    assert "the campaign is finished and its data set is fixed" in fixed_in_words(campaign)
    assert "--retry-failed" in str(told.value)
    assert label_list(campaign) == before
    lines = list(render_facts(label_facts(campaign, find_record(campaign, failed.identity))))
    assert lines[-1] == "  it is not tried again: nothing would use its label any more"
    stand(monkeypatch, 2)  # with another stopping rule the loop goes on
    assert retry(campaign, causes=None, identities=None) == (1, 0)


def test_labels_of_the_initial_data_are_retried_for_the_next_data_set(campaign, monkeypatch, tmp_path):
    with_labeller(campaign, {0: ["not finite"]})
    label_all(campaign)
    first = export_dataset(campaign, tmp_path / "0", before_iteration=0)
    told = campaign.directory.log.read_text()
    assert (
        "1 of 4 labels of the initial data failed, and the campaign goes on without them: 1 not finite"
        in told
    )
    stand(monkeypatch, 1)
    assert retry(campaign, causes=None, identities=None) == (1, 0)
    with_labeller(campaign, {})
    assert label_all(campaign) == [{"labelled": 1, "failed": 0, "shared": 0}]
    assert export_dataset(campaign, tmp_path / "0", before_iteration=0) == first
    second = export_dataset(campaign, tmp_path / "1", before_iteration=1)
    assert sum(second.counts.values()) == sum(first.counts.values()) + 1
    assert campaign.directory.log.read_text() == told


def test_retry_is_refused_while_the_campaign_runs(campaign):
    code = (
        "import sys, time\nfrom pathlib import Path\n"
        "from llzo_al.campaign.directory import CampaignDirectory, CampaignLock\n"
        "with CampaignLock(CampaignDirectory(Path(sys.argv[1]))):\n"
        "    print('held', flush=True)\n    time.sleep(60)"
    )
    root = campaign.directory.root
    holder = subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(UserError, match="is being run already"):
            retry(campaign, causes=None, identities=None)
    finally:
        holder.kill()
        holder.communicate()
    assert retry(campaign, causes=None, identities=None) == (0, 0)


JOB = """
import sys, time
from pathlib import Path
from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.campaign.label_log import LabelJobLog
work = Path(sys.argv[2]); work.mkdir(parents=True)
with LabelJobLog(CampaignDirectory(Path(sys.argv[1])), work, {"job": "abc", "iteration": 0}) as log:
    log.labelled(0.5); log.failed("crash")
    print("noted", flush=True)
    time.sleep(60)
"""


def test_the_time_of_a_killed_job_is_counted(campaign):
    place = campaign.directory
    arguments = [sys.executable, "-c", JOB, str(place.root), str(place.label_jobs / "abc")]
    job = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert job.stdout.readline().strip() == "noted"
    time.sleep(1.6)
    assert settle_killed_jobs(place) == 0  # it lives
    job.send_signal(signal.SIGKILL)
    job.communicate()
    assert settle_killed_jobs(place) == 1
    (line,) = read_json_lines(place.label_log)
    assert (line["labelled"], line["failed"], line["ended"]) == (1, 1, "killed")
    assert line["engine_s"] == 0.5
    assert 0.9 < line["wall_s"] < 4.0
    assert settle_killed_jobs(place) == 0


def test_a_job_that_takes_up_a_killed_ones_directory_counts_both(campaign):
    place = campaign.directory
    work = place.label_jobs / "abc"
    work.mkdir(parents=True)
    about = {"job": "abc", "iteration": -1}
    dead = {**about, "started": time.time() - 10, "pid": 2**22 - 1, "born": 1.0}
    (work / NOTES).write_text(json.dumps(dead) + '\n{"labelled": 1, "engine_s": 2}\n{"cut sh')
    os.utime(work / NOTES, (time.time() - 4, time.time() - 4))
    with LabelJobLog(place, work, about) as log:
        log.labelled(1.0)
    first, second = read_json_lines(place.label_log)
    assert (first["ended"], second["ended"]) == ("killed", "done")
    assert first["wall_s"] == pytest.approx(6.0, abs=0.5)
    assert (first["engine_s"], second["engine_s"]) == (2, 1.0)


def told(directory, **replacements):
    write_tiny(directory, **(DIMERS | replacements))
    return changes_since_the_last_run(load_campaign(directory / "campaign.yaml"))


def test_a_change_of_the_physics_is_told_with_the_labels_that_it_costs(tmp_path):
    campaign = make(tmp_path)
    label_all(campaign)
    engine = "engine: classical_reference"
    assert told(tmp_path) == []
    jobs = told(tmp_path, **{engine: f"{engine}\n  frames_per_job: 3"})
    assert jobs[-1] == "labels: all 4 that are stored stay valid; none is paid for again"
    assert "nothing is redone" in jobs[0]
    physics = told(tmp_path, **{engine: f"{engine}\n  cutoff_A: 5.5"})
    assert "another level of theory" in physics[0]
    assert physics[-1] == (
        "labels: the 4 of the settings before stay stored and are not used; of the initial data's, 0 are "
        "stored with the new settings already and 4 are paid for again; the 0 of the iterations are chosen "
        "and paid for anew"
    )


def test_moving_the_campaign_and_changing_its_jobs_costs_no_label(tmp_path):
    label_all(make(tmp_path / "here"))
    (tmp_path / "here").rename(tmp_path / "there")
    engine = "engine: classical_reference"
    resources = "resources: {cores: 2, max_label_jobs: 1}\nstopping:\n"
    moved = make(tmp_path / "there", **{engine: f"{engine}\n  frames_per_job: 1", "stopping:\n": resources})
    assert label_all(moved) == []
    other = make(tmp_path / "there", **{engine: f"{engine}\n  damping_per_A: 0.31"})
    assert (
        sum(len(job) for job in labels.label_jobs(other, initial.prepare_initial_data(other).identities)) == 4
    )
    assert [len(job) for job in labels.label_jobs(moved)] == []
    back = replace(moved)
    assert len(list(back.store.records(physics=back.physics))) == 4
    with pytest.raises(UserError, match="which are never mixed"):
        back.store.records(labelled=None)
    initial.prepare_initial_data(back)
    exported = export_dataset(back, tmp_path / "d", before_iteration=0)
    mine = {record.identity for record in back.store.records(physics=back.physics)}
    assert set(exported.training) <= mine


def test_an_iteration_with_too_few_labels_is_not_closed(campaign, monkeypatch):
    frames = [
        Frame(
            symbols=("Li", "O"),
            positions_A=np.array([[0.0, 0, 0], [1.8 + 0.1 * number, 0, 0]]),
            cell_A=np.eye(3) * 16,
            provenance=Provenance(source="exploration", kind="pair", group="g", iteration=0, frame=number),
        )
        for number in range(5)
    ]
    identities = campaign.store.request(frames, physics=campaign.physics, split="candidate")
    with_labeller(campaign, {0: ["not finite"], 1: ["not finite"], 2: ["wrong shape"]})
    labels.label_frames(campaign, identities)
    monkeypatch.setattr(summing_up, "assessment", lambda *_: {})
    monkeypatch.setattr(summing_up, "read_predictions", lambda *_: dict.fromkeys(identities))
    with pytest.raises(StageError, match=r"2 of 5 labels of iteration 0 succeeded.*2 failed: .*not finite"):
        closing.close(campaign, 0)
    assert closing.first_open_iteration(campaign) == 0
    assert retry(campaign, causes=None, identities=None) == (3, 0)
