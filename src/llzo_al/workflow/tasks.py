"""FireTasks: load the campaign, call the stage, tell FireWorks what comes next. No science here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from fireworks import FireTaskBase, FWAction, explicit_serialize

from llzo_al.campaign import assess, closing, final, initial, iteration, labels, log, reference_runs
from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.directory import CampaignDirectory
from llzo_al.campaign.failures import Failure, tell_failure
from llzo_al.errors import LlzoAlError, TimeIsUp, UpstreamError, UserError
from llzo_al.labelling.vasp.command import worker_environment
from llzo_al.training.backends import VISIBLE_GPUS
from llzo_al.workflow import growth
from llzo_al.workflow.worker_file import LEAVES


class CampaignTask(FireTaskBase):
    """Opens the campaign, and writes down why a task failed before FireWorks takes over."""

    required_params: tuple[str, ...] = ("campaign_dir",)
    fills_worker = False
    _workers_threads: int | None = None

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Run the stage; a failure is told in the campaign's log as well as to FireWorks."""
        root = _campaign_dir(self["campaign_dir"], fw_spec)
        env = fw_spec.get("_fw_env") or {}
        os.environ.update(worker_environment(env))
        self._workers_threads = env.get("threads")
        try:
            with _alone_on(env.get("gpu") if self.fills_worker else None):
                return self._work(Campaign.open(root))
        except Exception as error:
            name = fw_spec.get("_llzo_al_name", type(self).__name__)
            if isinstance(error, TimeIsUp) and LEAVES in env:
                _leave(CampaignDirectory(root), name, error, exit_code=env[LEAVES])
            failure = Failure(
                task=name,
                message=str(error) if isinstance(error, LlzoAlError) else f"{type(error).__name__}: {error}",
                user_error=isinstance(error, UserError),
                downstream=isinstance(error, UpstreamError),
            )
            tell_failure(CampaignDirectory(root), failure)
            raise

    def _work(self, campaign: Campaign) -> FWAction:
        """Call the stage."""
        raise NotImplementedError

    @property
    def threads(self) -> int:
        """Cores that this task may use; a worker elsewhere gives a training or an MD run all of its own."""
        planned = int(self.get("threads", 1))
        return int(self._workers_threads or planned) if self.fills_worker else planned


def _leave(directory: CampaignDirectory, task: str, error: TimeIsUp, *, exit_code: int) -> NoReturn:
    """End this worker but not its task, which the driver puts back as after a worker's death."""
    log.say(directory, f"stopped in time: {task}", *str(error).splitlines())
    print(f"{task}: {error}; this worker ends", flush=True)
    os._exit(exit_code)  # past FireWorks, which would take it for a failure


@contextmanager
def _alone_on(gpu: str | None) -> Iterator[None]:
    """Show the engines one GPU only; None shows them all."""
    before = os.environ.get(VISIBLE_GPUS)
    if gpu is None:
        yield
        return
    os.environ[VISIBLE_GPUS] = gpu
    try:
        yield
    finally:
        if before is None:
            del os.environ[VISIBLE_GPUS]
        else:
            os.environ[VISIBLE_GPUS] = before


def _campaign_dir(value: str, fw_spec: dict[str, Any]) -> Path:
    """The campaign directory; ``>>name<<`` is looked up in the worker's ``env``."""
    if value.startswith(">>") and value.endswith("<<"):
        name = value[2:-2]
        try:
            value = fw_spec["_fw_env"][name]
        except KeyError as error:
            raise UserError(
                f"campaign_dir: {value!r} needs `{name}` under `env` of the worker file (my_fworker.yaml)"
            ) from error
    return Path(value)


@explicit_serialize
class InitialDataTask(CampaignTask):
    """Generate the initial frames; fan out their labels and the reference's trajectories."""

    def _work(self, campaign: Campaign) -> FWAction:
        data = initial.prepare_initial_data(campaign)
        return growth.detour(
            [
                *growth.reference_md(campaign, data.n_md_runs),
                *growth.labels(campaign, labels.label_jobs(campaign, data.identities)),
            ]
        )


@explicit_serialize
class ReferenceMDTask(CampaignTask):
    """Run one trajectory with the reference and fan out the labels of its snapshots."""

    required_params = ("campaign_dir", "run")

    def _work(self, campaign: Campaign) -> FWAction:
        identities = reference_runs.run_reference_md(campaign, self["run"], threads=self.threads)
        return growth.detour(growth.labels(campaign, labels.label_jobs(campaign, identities)))


@explicit_serialize
class LabelTask(CampaignTask):
    """Label frames of the store; each label is stored when it is there."""

    required_params = ("campaign_dir", "identities")

    def _work(self, campaign: Campaign) -> FWAction:
        return FWAction(stored_data=labels.label_frames(campaign, self["identities"]))


@explicit_serialize
class StartIterationTask(CampaignTask):
    """Fix an iteration's data set and append its trainings, MD runs, assessment and close."""

    required_params = ("campaign_dir", "iteration")

    def _work(self, campaign: Campaign) -> FWAction:
        number = self["iteration"]
        iteration.iteration_dataset(campaign, number)
        return FWAction(additions=[growth.iteration_workflow(campaign, number)])


@explicit_serialize
class TrainTask(CampaignTask):
    """Train one model of the committee."""

    required_params = ("campaign_dir", "iteration", "model")
    fills_worker = True

    def _work(self, campaign: Campaign) -> FWAction:
        iteration.train(campaign, self["iteration"], self["model"], threads=self.threads)
        return FWAction()


@explicit_serialize
class ExploreTask(CampaignTask):
    """Run one MD of an iteration."""

    required_params = ("campaign_dir", "iteration", "run")
    fills_worker = True

    def _work(self, campaign: Campaign) -> FWAction:
        iteration.explore(campaign, self["iteration"], self["run"], threads=self.threads)
        return FWAction()


@explicit_serialize
class AssessTask(CampaignTask):
    """Measure coverage, select frames, and fan out their labels before the iteration is closed."""

    required_params = ("campaign_dir", "iteration")

    def _work(self, campaign: Campaign) -> FWAction:
        identities = assess.assess(campaign, self["iteration"])
        return growth.detour(growth.labels(campaign, labels.label_jobs(campaign, identities)))


@explicit_serialize
class CloseIterationTask(CampaignTask):
    """Compare predictions with labels, decide, and append what comes next."""

    required_params = ("campaign_dir", "iteration")

    def _work(self, campaign: Campaign) -> FWAction:
        number = self["iteration"]
        closing.close(campaign, number)
        return FWAction(additions=[growth.after(campaign)])


@explicit_serialize
class StartFinalTask(CampaignTask):
    """Fix the data set of the final training and append it."""

    def _work(self, campaign: Campaign) -> FWAction:
        final.final_dataset(campaign)
        return FWAction(additions=[growth.final_workflow(campaign)])


@explicit_serialize
class FinalTrainTask(CampaignTask):
    """Train one of the final models."""

    required_params = ("campaign_dir", "model")
    fills_worker = True

    def _work(self, campaign: Campaign) -> FWAction:
        final.train_final(campaign, self["model"], threads=self.threads)
        return FWAction()


@explicit_serialize
class FinishTask(CampaignTask):
    """Gather the final models and their held-out test."""

    def _work(self, campaign: Campaign) -> FWAction:
        final.finish(campaign)
        return FWAction()
