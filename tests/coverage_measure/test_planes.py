from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest
from coverage_helpers import cloud, one_element

from llzo_al.config.coverage import Coverage
from llzo_al.coverage.assess import assess_coverage
from llzo_al.coverage.planes import COVERED, EMPTY, ONLY_TRAINING, UNCOVERED, draw_planes, plane_maps

TRAINING = one_element([[3, 3], [-3, -3], [1, -1], [-1, 1]])
"""Its components are (x + y) / sqrt(2) and (x - y) / sqrt(2), up to their signs; see test_measure.py."""


def maps_of(training, visited, **options):
    report = assess_coverage(training, visited, Coverage(**{"bins": 3, **options}))
    return report, [plane_maps(training, visited, report, element) for element in report.elements]


def test_cells_by_hand():
    # Training holds the low and the high end of the first component in the middle of the second one, and the
    # middle of the first at both ends of the second. Visited are one end of each, the centre and a corner.
    visited = one_element([[3, 3], [-1, 1], [0, 0], [3, 1]])
    _, ((plane,),) = maps_of(TRAINING, visited)
    cells = plane.cells
    assert plane.plane == (0, 1)
    assert cells.shape == (3, 3)
    assert cells[1, 1] == UNCOVERED
    assert sorted([cells[0, 1], cells[2, 1]]) == [ONLY_TRAINING, COVERED]
    assert sorted([cells[1, 0], cells[1, 2]]) == [ONLY_TRAINING, COVERED]
    assert sorted([cells[0, 0], cells[0, 2], cells[2, 0], cells[2, 2]]) == [EMPTY] * 3 + [UNCOVERED]
    # The corner is where x + y is as high as at (3, 3) and x - y as far from (-1, 1) as it can be.
    high = 0 if cells[0, 1] == COVERED else 2
    far = 2 if cells[1, 0] == COVERED else 0
    assert cells[high, far] == UNCOVERED
    assert plane.off_visited == 0


def test_cells_agree_with_the_report_where_there_is_one_plane():
    training, visited = cloud(1), cloud(2, centre=1.0)
    report, maps = maps_of(training, visited, bins=10, max_components=2, variance=0.5, subspace_check=False)
    for element, (plane,) in zip(report.elements, maps, strict=True):
        covered, uncovered = int((plane.cells == COVERED).sum()), int((plane.cells == UNCOVERED).sum())
        assert covered == element.cells_covered
        assert covered + uncovered == element.cells_visited
        assert (plane.cells == ONLY_TRAINING).any()


def test_what_is_off_the_space_is_in_no_cell():
    """The third feature is constant in training: what differs in it projects on training's own cells."""
    training = one_element([[3, 3, 1], [-3, -3, 1], [1, -1, 1], [-1, 1, 1]])
    visited = one_element([[3, 3, 1], [-1, 1, 5], [0, 0, 5], [1, -1, 5]])
    report, ((plane,),) = maps_of(training, visited)
    assert plane.off_visited == 0.75
    assert (plane.cells == COVERED).sum() == 1
    assert not (plane.cells == UNCOVERED).any()
    assert report.pooled.coverage < 1


@pytest.mark.parametrize(("elements", "names"), [("separate", ["Li", "O"]), ("together", ["all"])])
def test_pictures(elements, names, tmp_path):
    training, visited = cloud(1), cloud(2)
    report, maps = maps_of(training, visited, bins=10, elements=elements)
    assert [element.symbol for element in report.elements] == names
    for element, planes in zip(report.elements, maps, strict=True):
        assert [plane.plane for plane in planes] == [(0, 1), (0, 2), (1, 2)]
        path = tmp_path / f"{element.symbol}.png"
        draw_planes(planes, element, path, title="test: ")
        pixels = matplotlib.image.imread(path)
        assert pixels.shape[1] > pixels.shape[0] > 100
        assert np.ptp(pixels[..., :3]) > 0.5


def test_an_element_that_training_lacks_is_all_uncovered():
    training, visited = cloud(1), cloud(2)
    bare = type(training)(
        elements=training.elements,
        values={**training.values, "O": training.values["O"][:0]},
        frame_index={**training.frame_index, "O": training.frame_index["O"][:0]},
        n_frames=training.n_frames,
    )
    _, (_, oxygen) = maps_of(bare, visited, bins=10)
    for plane in oxygen:
        assert set(np.unique(plane.cells)) == {EMPTY, UNCOVERED}
