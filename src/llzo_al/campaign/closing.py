"""The end of an iteration: what is stored of it when it is closed, and what comes next."""

from __future__ import annotations

from typing import Any

from llzo_al.campaign.campaign import Campaign
from llzo_al.campaign.summing_up import sum_up
from llzo_al.campaign.telling import iteration_in_words, outcome_in_words
from llzo_al.files import finished, run_stage
from llzo_al.selection.calibration import Compared
from llzo_al.selection.stopping import Decision, IterationSummary, decide


def close_key(campaign: Campaign, number: int) -> dict[str, Any]:
    """What a closed iteration must share with the campaign file to stay closed.

    An iteration that ran to its end is history: other settings of training or exploration apply from the
    next one on. Only another level of theory or another type map takes its place.
    """
    return {"iteration": number, **campaign.level_of_theory}


def close(campaign: Campaign, number: int) -> dict[str, Any]:
    """Audit the iteration's labels, decide their splits and sum the iteration up."""
    outputs = run_stage(
        campaign.directory.iteration(number) / "close",
        stage="close",
        key=close_key(campaign, number),
        compute=lambda _: sum_up(campaign, number, _compared_before(campaign, number)),
    )
    _tell(campaign, number)
    return outputs


def closed(campaign: Campaign, number: int) -> dict[str, Any] | None:
    """Summary of a closed iteration, or None while it is open."""
    return finished(campaign.directory.iteration(number) / "close", close_key(campaign, number))


def first_open_iteration(campaign: Campaign) -> int:
    """Number of the first iteration that is not closed."""
    number = 0
    while closed(campaign, number) is not None:
        number += 1
    return number


def decision(campaign: Campaign, number: int) -> Decision:
    """Whether the loop stops after iteration `number`, by the campaign file's stopping rule as it is now."""
    history = []
    for index in range(number + 1):
        summary = closed(campaign, index)
        if summary is not None:
            figures = summary["stopping"]
            history.append(
                IterationSummary(
                    **{
                        **figures,
                        "endings": tuple(figures["endings"]),
                        "stuck": tuple(figures.get("stuck", ())),
                    }
                )
            )
    return decide(history, campaign.config.stopping)


def _compared_before(campaign: Campaign, number: int) -> list[Compared]:
    """Predictions that earlier iterations compared with labels; their groups are told apart."""
    return [
        Compared.from_dict({**one, "group": f"{earlier}/{one['group']}"})
        for earlier in range(number)
        for one in (closed(campaign, earlier) or {}).get("compared", [])
        if "signs" in one  # an earlier version knew less of a frame
    ]


def _tell(campaign: Campaign, number: int) -> None:
    summary = closed(campaign, number)
    if summary is not None:
        made = decision(campaign, number)
        campaign.say(f"iteration {number}: {outcome_in_words(made)}", *iteration_in_words(summary, made))
