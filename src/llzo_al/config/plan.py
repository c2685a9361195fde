"""What a campaign will do: counted, before anything is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from llzo_al.config.campaign import CampaignConfig
from llzo_al.config.exploration import Exploration
from llzo_al.config.labelling.ase import ASECalculator, CalculatorJobs
from llzo_al.config.labelling.first_principles import ABINIT, CP2K, Espresso
from llzo_al.config.load import LoadedCampaign
from llzo_al.config.source_plan import SourcePlan, Tell, plan_source
from llzo_al.config.training import Training
from llzo_al.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """Trainings; counts over the campaign are for the largest number of iterations.

    Attributes
    ----------
    trainings_per_iteration, steps_per_training
        Size of the committee, and steps of each of its trainings.
    final_trainings, final_steps_per_training
        The same for the final training.
    trainings_at_most, steps_at_most
        Over the whole campaign.
    """

    trainings_per_iteration: int
    steps_per_training: int
    final_trainings: int
    final_steps_per_training: int
    trainings_at_most: int
    steps_at_most: int

    @property
    def steps_per_iteration(self) -> int:
        """Training steps of an iteration."""
        return self.trainings_per_iteration * self.steps_per_training


@dataclass(frozen=True, kw_only=True)
class ExplorationPlan:
    """MD runs of the exploration.

    Attributes
    ----------
    runs_per_iteration, steps_per_run, frames_per_run
        MD runs of an iteration; steps and assessed frames of each.
    atoms
        Number of atoms of each structure.
    steps_at_most
        MD steps over the largest number of iterations.
    """

    runs_per_iteration: int
    steps_per_run: int
    frames_per_run: int
    atoms: dict[str, int]
    steps_at_most: int

    @property
    def steps_per_iteration(self) -> int:
        """MD steps of an iteration."""
        return self.runs_per_iteration * self.steps_per_run


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a campaign will do.

    Attributes
    ----------
    name, campaign_dir
        The campaign and its directory.
    labeller
        Who labels.
    sources
        The initial data, source by source.
    labels_per_iteration_at_most
        Labels of an iteration: selected and held-out frames.
    labels_at_most
        Labels over the campaign.
    iterations_min, iterations_max
        Limits of the loop.
    training, exploration
        Trainings and MD runs.
    warnings
        What is allowed but probably not meant.
    """

    name: str
    campaign_dir: str
    labeller: str
    sources: tuple[SourcePlan, ...]
    labels_per_iteration_at_most: int
    labels_at_most: int
    iterations_min: int
    iterations_max: int
    training: TrainingPlan
    exploration: ExplorationPlan
    warnings: tuple[str, ...]

    @property
    def initial_frames(self) -> int:
        """Frames of the initial data."""
        return sum(source.frames for source in self.sources)

    @property
    def initial_labels(self) -> int:
        """Labels of the initial data that have to be computed."""
        return sum(source.labels for source in self.sources)

    @property
    def initial_held_out(self) -> int:
        """Held-out frames of the initial data."""
        return sum(source.held_out for source in self.sources)

    @property
    def unknown(self) -> list[str]:
        """Why some sources cannot be counted here; their frames and labels are in no sum."""
        return list(dict.fromkeys(source.unknown for source in self.sources if source.unknown is not None))

    @property
    def reference_md_steps(self) -> int:
        """MD steps that the reference itself runs."""
        return sum(source.md_steps for source in self.sources)

    def as_json(self) -> dict[str, Any]:
        """JSON-serialisable values, sums included."""
        data = asdict(self)
        data["sources"] = list(data["sources"])
        data["warnings"] = list(data["warnings"])
        data["training"]["steps_per_iteration"] = self.training.steps_per_iteration
        data["exploration"]["steps_per_iteration"] = self.exploration.steps_per_iteration
        return data | {
            "initial_frames": self.initial_frames,
            "initial_labels": self.initial_labels,
            "initial_held_out": self.initial_held_out,
            "reference_md_steps": self.reference_md_steps,
        }


def make_plan(loaded: LoadedCampaign, tell: Tell = lambda _: None) -> Plan:
    """Count what a campaign will do; nothing is run.

    Parameters
    ----------
    loaded
        The campaign file.
    tell
        Called with a line of progress now and then while the structures are counted.

    Raises
    ------
    UserError
        If a structure cannot be read or a source gives nothing.
    """
    config = loaded.config
    sources = tuple(plan_source(source, config, loaded.base, tell) for source in config.initial_data)
    for number, source in enumerate(sources):
        if not source.frames and source.unknown is None:
            raise UserError(
                f"{loaded.path}: initial_data[{number}] ({source.kind}): gives no structure; change its keys"
            )
    iterations = config.stopping.max_iterations
    per_iteration = config.selection.max_frames + config.selection.held_out_frames
    return Plan(
        name=config.name,
        campaign_dir=str(loaded.campaign_dir),
        labeller=_labeller(config),
        sources=sources,
        labels_per_iteration_at_most=per_iteration,
        labels_at_most=sum(source.labels for source in sources) + iterations * per_iteration,
        iterations_min=config.stopping.min_iterations,
        iterations_max=iterations,
        training=_training(config.training, iterations),
        exploration=_exploration(config.exploration, loaded.base, iterations),
        warnings=tuple(_warnings(config, sources)),
    )


def _labeller(config: CampaignConfig) -> str:
    if config.labelling.engine == "ase":
        return f"ASE calculator {config.labelling.calculator}"
    if config.labelling.engine == "vasp":
        spacing = config.labelling.spacing_per_A
        return f"VASP ({config.labelling.functional}, k-point spacing {spacing:g}/angstrom)"
    if isinstance(config.labelling, CalculatorJobs):
        from llzo_al.labelling.presets.recipes import recipe_name

        return recipe_name(config.labelling)
    return "classical reference (not DFT)"


def _training(training: Training, iterations: int) -> TrainingPlan:
    size = training.committee_size
    final_steps = training.final_steps or 2 * training.steps
    later_steps = training.steps_when_warm if training.warm_start else training.steps
    return TrainingPlan(
        trainings_per_iteration=size,
        steps_per_training=training.steps,
        final_trainings=size,
        final_steps_per_training=final_steps,
        trainings_at_most=size * (iterations + 1),
        steps_at_most=size * (training.steps + (iterations - 1) * later_steps + final_steps),
    )


def _exploration(exploration: Exploration, base: Path, iterations: int) -> ExplorationPlan:
    from llzo_al.exploration.runs import exploration_runs

    runs = exploration_runs(exploration, base=base, seed=1, iteration=0)
    return ExplorationPlan(
        runs_per_iteration=len(runs),
        steps_per_run=runs[0].steps,
        frames_per_run=runs[0].n_frames - runs[0].equilibration_frames,
        atoms={run.kind: run.frame.n_atoms for run in runs},
        steps_at_most=iterations * sum(run.steps for run in runs),
    )


def _warnings(config: CampaignConfig, sources: Sequence[SourcePlan]) -> list[str]:
    warnings = []
    exploration = config.exploration
    runs = len(exploration.structures) * len(exploration.temperatures_K) * exploration.replicas
    if runs < 2 and not any(source.held_out_md_runs for source in sources):
        warnings.append(
            "exploration has one MD run in an iteration and no source holds out a whole MD trajectory, so "
            "the errors that `stopping` looks at cannot be measured and the campaign cannot converge: give "
            "two temperatures, or replicas: 2"
        )
    guard_limit = exploration.guard.max_force_deviation_eV_per_A
    if config.selection.deviation_high_eV_per_A > guard_limit:
        warnings.append(
            f"selection.deviation_high_eV_per_A ({config.selection.deviation_high_eV_per_A:g}) is beyond "
            f"exploration.guard.max_force_deviation_eV_per_A ({guard_limit:g}), where the run ends"
        )
    if config.training.rcut_A < config.coverage.descriptor.cutoff_A:
        warnings.append(
            f"training.rcut_A ({config.training.rcut_A:g}) is shorter than coverage.descriptor.cutoff_A "
            f"({config.coverage.descriptor.cutoff_A:g}): coverage asks for what the model cannot see"
        )
    unversioned = isinstance(config.labelling, ASECalculator | Espresso | CP2K | ABINIT)
    if unversioned and getattr(config.labelling, "version", None) is None:
        warnings.append(
            "labelling.version is not given: labels of another version of the calculator or of its setups "
            "would be taken for the same"
        )
    return warnings


def render_plan(plan: Plan) -> Group:
    """The plan for a terminal."""
    parts: list[Text | Table] = [
        Text(f"campaign {plan.name} in {plan.campaign_dir}"),
        Text(f"labelled by: {plan.labeller}"),
        _source_table(plan),
        _loop_table(plan),
        Text(_cost(plan)),
    ]
    parts += [Text(f"warning: {warning}", style="yellow") for warning in plan.warnings]
    return Group(*parts)


def _cost(plan: Plan) -> str:
    steps = plan.reference_md_steps
    dynamics = f" and {_count(steps)} steps of molecular dynamics" if steps else ""
    return (
        f"cost: the labeller computes {_count(plan.initial_labels)} labels{dynamics} for the initial data, "
        f"then up to {_count(plan.labels_per_iteration_at_most)} labels an iteration; in all at most "
        f"{_count(plan.labels_at_most)} labels{', without those marked ?' if plan.unknown else ''}"
    )


def _source_table(plan: Plan) -> Table:
    table = Table(title="initial data", title_justify="left", show_footer=True)
    table.add_column("source", footer="in all" if not plan.unknown else "in all, without those marked ?")
    table.add_column("structures", justify="right")
    table.add_column("frames", justify="right", footer=_count(plan.initial_frames))
    table.add_column("atoms", justify="right")
    table.add_column("labels", justify="right", footer=_count(plan.initial_labels))
    table.add_column("held out", justify="right", footer=_count(plan.initial_held_out))
    table.add_column("reference MD", justify="right", footer=f"{_count(plan.reference_md_steps)} steps")
    for source in plan.sources:
        if source.unknown is not None:
            table.add_row(source.kind, *"??", "", *"??", "")
            continue
        same = source.atoms_min == source.atoms_max
        runs = f"{source.md_runs} {'run' if source.md_runs == 1 else 'runs'}, {_count(source.md_steps)} steps"
        table.add_row(
            source.kind,
            _count(source.structures),
            _count(source.frames),
            str(source.atoms_max) if same else f"{source.atoms_min} to {source.atoms_max}",
            _count(source.labels) + (f" ({_count(source.given)} given)" if source.given else ""),
            _count(source.held_out),
            runs if source.md_runs else "",
        )
    return table


def _loop_table(plan: Plan) -> Table:
    training, exploration = plan.training, plan.exploration
    loop = f"{plan.iterations_min} to {plan.iterations_max} iterations"
    table = Table(title=f"active learning: {loop}", title_justify="left")
    table.add_column("")
    table.add_column("per iteration", justify="right")
    table.add_column("in all, at most", justify="right")
    table.add_row(
        "trainings",
        _count(training.trainings_per_iteration),
        f"{_count(training.trainings_at_most)} (with the final)",
    )
    table.add_row(
        "training steps",
        f"{training.trainings_per_iteration} x {_count(training.steps_per_training)}",
        _count(training.steps_at_most),
    )
    table.add_row(
        "exploration runs",
        _count(exploration.runs_per_iteration),
        _count(exploration.runs_per_iteration * plan.iterations_max),
    )
    table.add_row(
        "exploration MD steps",
        f"{exploration.runs_per_iteration} x {_count(exploration.steps_per_run)}",
        _count(exploration.steps_at_most),
    )
    table.add_row(
        "atoms in a run", ", ".join(f"{name}: {atoms}" for name, atoms in exploration.atoms.items()), ""
    )
    table.add_row(
        "labels",
        f"up to {_count(plan.labels_per_iteration_at_most)}",
        f"{_count(plan.labels_at_most)} (with the initial)" + (" and those marked ?" if plan.unknown else ""),
    )
    return table


def _count(number: int) -> str:
    return f"{number:,}"
