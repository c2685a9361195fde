"""The example that starts from dimers, crystals and molecular dynamics together."""

from pathlib import Path

from llzo_al.config.load import load_campaign
from llzo_al.config.plan import make_plan

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_starts_from_all_three_sources_and_is_small():
    loaded = load_campaign(ROOT / "examples" / "three-sources" / "campaign.yaml")
    plan = make_plan(loaded)
    frames = {}
    for source in plan.sources:
        frames[source.kind] = frames.get(source.kind, 0) + source.frames
    assert frames == {"dimers": 12, "materials_project": 18, "reference_md": 8}
    # The melt-quench runs with the settings of the labels, so that its two snapshots bring theirs along.
    assert plan.initial_labels == 36
    assert plan.labels_at_most == 54
    assert plan.reference_md_steps == 75
    assert not plan.unknown
    assert not plan.warnings
