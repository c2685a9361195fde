"""The shape of the workflow, and what follows what."""

from functools import partial

import pytest

from campaigns import make_tiny
from llzo_al.campaign import closing
from llzo_al.campaign.iteration import planned_runs
from llzo_al.workflow import growth


@pytest.fixture
def make(tmp_path):
    return partial(make_tiny, tmp_path)


def by_task(workflow):
    """Fireworks of a workflow by the class of their task."""
    found = {}
    for firework in workflow.fws:
        found.setdefault(type(firework.tasks[0]).__name__, []).append(firework)
    return found


def parents(workflow, firework):
    return {parent for parent, children in workflow.links.items() if firework.fw_id in children}


def decided(monkeypatch, *, closed, stop):
    monkeypatch.setattr(closing, "first_open_iteration", lambda _: closed)
    verdict = type("Verdict", (), {"stop": stop})
    monkeypatch.setattr(closing, "decision", lambda *_: verdict)


def test_iteration_fans_out_and_joins(make):
    campaign = make(**{"committee_size: 2": "committee_size: 3", "replicas: 2": "replicas: 4"})
    workflow = growth.iteration_workflow(campaign, 2)
    tasks = by_task(workflow)
    assert {name: len(found) for name, found in tasks.items()} == {
        "TrainTask": 3,
        "ExploreTask": 4,
        "AssessTask": 1,
        "CloseIterationTask": 1,
    }
    assert len(planned_runs(campaign, 2)) == 4
    trainings = {firework.fw_id for firework in tasks["TrainTask"]}
    runs = {firework.fw_id for firework in tasks["ExploreTask"]}
    for run in tasks["ExploreTask"]:
        assert parents(workflow, run) == trainings
    (assess,), (close,) = tasks["AssessTask"], tasks["CloseIterationTask"]
    assert parents(workflow, assess) == runs
    assert parents(workflow, close) == {assess.fw_id}
    assert [training.tasks[0]["model"] for training in tasks["TrainTask"]] == [0, 1, 2]
    assert [run.tasks[0]["run"] for run in tasks["ExploreTask"]] == [0, 1, 2, 3]
    assert {firework.tasks[0]["iteration"] for firework in workflow.fws} == {2}


def test_joins_run_with_partial_results_and_leaves_do_not(make):
    tasks = by_task(growth.iteration_workflow(make(), 0))
    for name in ("ExploreTask", "AssessTask", "CloseIterationTask"):
        assert all(firework.spec["_allow_fizzled_parents"] for firework in tasks[name])
        # FireWorks fills it with failed parents where it is missing: too much for a document of MongoDB.
        assert all(firework.spec["_fizzled_parents"] == [] for firework in tasks[name])
    assert not any("_allow_fizzled_parents" in firework.spec for firework in tasks["TrainTask"])
    final = by_task(growth.final_workflow(make()))
    assert final["FinishTask"][0].spec["_allow_fizzled_parents"]


def test_every_firework_has_its_category_and_its_campaign(make):
    campaign = make()
    workflows = [
        growth.start(campaign),
        growth.iteration_workflow(campaign, 0),
        growth.final_workflow(campaign),
    ]
    fireworks = [firework for workflow in workflows for firework in workflow.fws]
    fireworks += growth.labels(campaign, [["a", "b"], ["c"]]) + growth.reference_md(campaign, 2)
    for firework in fireworks:
        assert firework.spec["_category"] in growth.CATEGORIES
        assert firework.spec["_llzo_al_campaign"] == str(campaign.directory.root)
        assert firework.tasks[0]["campaign_dir"] == str(campaign.directory.root)
    wanted = {"TrainTask": "train", "FinalTrainTask": "train", "ExploreTask": "md", "LabelTask": "label"}
    for firework in fireworks:
        name = type(firework.tasks[0]).__name__
        if name != "ReferenceMDTask":
            assert firework.spec["_category"] == wanted.get(name, "control")


@pytest.mark.parametrize(
    ("cores", "limits", "threads"),
    [
        (1, "", {"TrainTask": 1, "ExploreTask": 1}),
        (8, "", {"TrainTask": 4, "ExploreTask": 4}),
        (8, "max_trainings: 1", {"TrainTask": 8, "ExploreTask": 4}),
        (7, "max_md_runs: 1", {"TrainTask": 3, "ExploreTask": 7}),
    ],
)
def test_threads_fill_the_machine(make, cores, limits, threads):
    resources = f"resources:\n  cores: {cores}\n" + (f"  {limits}\n" if limits else "")
    workflow = growth.iteration_workflow(make(**{"stopping:\n": f"{resources}stopping:\n"}), 0)
    for name, fireworks in by_task(workflow).items():
        if name in threads:
            assert {firework.tasks[0]["threads"] for firework in fireworks} == {threads[name]}


def test_category_limits(make):
    text = "resources: {cores: 6, max_trainings: 2, max_md_runs: 9, max_label_jobs: 3}\nstopping:\n"
    assert growth.category_limits(make(**{"stopping:\n": text})) == {
        "control": 6,
        "train": 2,
        "md": 6,
        "label": 3,
    }
    text = "  engine: ase\n  calculator: ase.calculators.emt.EMT\n  threads: 4\ntraining:"
    campaign = make(
        **{
            "  engine: classical_reference\ntraining:": text,
            "stopping:\n": "resources: {cores: 6}\nstopping:\n",
        }
    )
    assert growth.category_limits(campaign)["label"] == 1
    assert growth.reference_md(campaign, 1)[0].tasks[0]["threads"] == 4


def test_start_of_a_new_campaign(make):
    workflow = growth.start(make())
    tasks = by_task(workflow)
    (data,), (first,) = tasks["InitialDataTask"], tasks["StartIterationTask"]
    assert first.tasks[0]["iteration"] == 0
    assert parents(workflow, first) == {data.fw_id}
    assert first.spec["_allow_fizzled_parents"]


def test_start_of_a_campaign_with_closed_iterations(make, monkeypatch):
    campaign = make()
    decided(monkeypatch, closed=3, stop=False)
    assert by_task(growth.start(campaign))["StartIterationTask"][0].tasks[0]["iteration"] == 3
    decided(monkeypatch, closed=3, stop=True)
    tasks = by_task(growth.start(campaign))
    assert set(tasks) == {"InitialDataTask", "StartFinalTask"}
    assert not growth.final_is_done(campaign)


def test_what_follows_a_closed_iteration(make, monkeypatch):
    campaign = make()
    decided(monkeypatch, closed=2, stop=False)
    (following,) = growth.after(campaign).fws
    assert type(following.tasks[0]).__name__ == "StartIterationTask"
    assert following.tasks[0]["iteration"] == 2
    decided(monkeypatch, closed=2, stop=True)
    (following,) = growth.after(campaign).fws
    assert type(following.tasks[0]).__name__ == "StartFinalTask"


def test_final_trains_the_committee_then_tests(make):
    workflow = growth.final_workflow(make())
    tasks = by_task(workflow)
    (finish,) = tasks["FinishTask"]
    assert [firework.tasks[0]["model"] for firework in tasks["FinalTrainTask"]] == [0, 1]
    assert parents(workflow, finish) == {firework.fw_id for firework in tasks["FinalTrainTask"]}


def test_labels_are_independent_detours(make):
    action = growth.detour(growth.labels(make(), [["a", "b"], ["c"]]))
    assert [workflow.fws[0].tasks[0]["identities"] for workflow in action.detours] == [["a", "b"], ["c"]]
    assert all(len(workflow.fws) == 1 for workflow in action.detours)
