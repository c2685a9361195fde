"""A good campaign file, and what is wrong with it after a change of one line or two."""
# ruff: noqa: E501

from __future__ import annotations

GOOD = """\
name: demo
elements: [Li, La, Zr, O]
initial_data:
  - kind: dimers
    pairs: [Li-O]
  - kind: reference_md
    structures: [t-LLZO]
    temperatures_K: [600, 900]
    timestep_fs: 2
labelling:
  engine: classical_reference
training:
  steps: 1000
  learning_rate: 1e-3
exploration:
  structures: [t-LLZO]
  temperatures_K: [600]
  guard:
    min_distances_A:
      Li-O: 1.3
"""

# Each case: what is replaced in GOOD, by what, the line of the problem, and what its message says.
BAD = {
    "parameters for the classical reference's dynamics": (
        "    timestep_fs: 2\n",
        "    timestep_fs: 2\n    parameters: {cutoff_A: 5}\n",
        10,
        "initial_data[1].parameters: the classical reference has no parameters for its dynamics alone",
    ),
    "unknown key": (
        "  steps: 1000",
        "  stepps: 1000",
        13,
        "training.stepps: unknown key; did you mean steps?",
    ),
    "unit left out": (
        "temperatures_K: [600, 900]",
        "temperature: [600, 900]",
        8,
        "initial_data[1].temperature: unknown key; did you mean temperatures_K (kelvin)?",
    ),
    "unit left out of the time": (
        "timestep_fs: 2",
        "timestep: 2",
        9,
        "initial_data[1].timestep: unknown key; did you mean timestep_fs (femtoseconds)?",
    ),
    "another unit": (
        "timestep_fs: 2",
        "timestep_ps: 0.002",
        9,
        "initial_data[1].timestep_ps: unknown key; did you mean timestep_fs (femtoseconds)?",
    ),
    "another case": (
        "  steps: 1000",
        "  Steps: 1000",
        13,
        "training.Steps: unknown key; did you mean steps?",
    ),
    "key of another section": (
        "  steps: 1000",
        "  bins: 20",
        13,
        "training.bins: unknown key; it belongs to coverage",
    ),
    "unknown section": ("training:", "learning:", 12, "learning: unknown key; allowed: name, directory"),
    "key given twice": (
        "  steps: 1000",
        "  steps: 1000\n  steps: 10",
        14,
        "training.steps: the key is given twice, first in line 13",
    ),
    "unknown kind": (
        "kind: dimers",
        "kind: dimer",
        4,
        "initial_data[0].kind: 'dimer' given; allowed: dimers, crystals, reference_md",
    ),
    "kind missing": (
        "  - kind: dimers\n    pairs",
        "  - pairs",
        4,
        "initial_data[0].kind: this required key",
    ),
    "unknown engine": (
        "engine: classical_reference",
        "engine: siesta",
        11,
        "labelling.engine: 'siesta' given; allowed: classical_reference, ase, gpaw, ",
    ),
    "engine missing": (
        "labelling:\n  engine: classical_reference",
        "labelling:\n  cutoff_A: 6",
        10,
        "labelling.engine: this required key is missing; allowed: classical_reference, ase",
    ),
    "required section missing": (
        "labelling:\n  engine: classical_reference\n",
        "",
        1,
        "labelling: this required key is missing; expected a section",
    ),
    "required key missing": (
        "  structures: [t-LLZO]\n  temperatures_K: [600]\n",
        "  structures: [t-LLZO]\n",
        15,
        "exploration.temperatures_K: this required key is missing; expected a list of numbers",
    ),
    "required key of a list entry missing": (
        "    structures: [t-LLZO]\n    temperatures_K: [600, 900]",
        "    structures: [t-LLZO]",
        6,
        "initial_data[1].temperatures_K: this required key is missing",
    ),
    "empty section": (
        "training:\n  steps: 1000\n  learning_rate: 1e-3\n",
        "training:\n",
        12,
        "training: nothing given",
    ),
    "unit in the value": (
        "[600, 900]",
        "[600, 900 K]",
        8,
        "initial_data[1].temperatures_K[1]: '900 K' given; expected: a number above 0 and at most 20000; "
        "write the number alone: the unit is part of the key's name (kelvin)",
    ),
    "number in quotes": (
        "steps: 1000",
        "steps: '1000'",
        13,
        "training.steps: '1000' given; expected: a whole number at least 1; write 1000 without quotes",
    ),
    "float for a count": (
        "steps: 1000",
        "steps: 1e5",
        13,
        "training.steps: 1e5 given; expected: a whole number at least 1; write 100000",
    ),
    "fraction for a count": (
        "steps: 1000",
        "steps: 10.5",
        13,
        "training.steps: 10.5 given; expected: a whole number at least 1",
    ),
    "truth value of old YAML": (
        "  steps: 1000",
        "  warm_start: no",
        13,
        "training.warm_start: 'no' given; expected: true or false; write false",
    ),
    "number for a truth value": (
        "  steps: 1000",
        "  warm_start: 1",
        13,
        "training.warm_start: 1 given; expected: true or false",
    ),
    "truth value for a number": (
        "steps: 1000",
        "steps: true",
        13,
        "training.steps: true given; expected: a whole number",
    ),
    "temperature of 0": (
        "[600, 900]",
        "[600, 0]",
        8,
        "initial_data[1].temperatures_K[1]: 0 given; expected: a number above 0",
    ),
    "timestep in other units": (
        "timestep_fs: 2",
        "timestep_fs: 0.002",
        9,
        "initial_data[1].timestep_fs: 0.002 given; expected: a number at least 0.01 and at most 10",
    ),
    "not finite": (
        "learning_rate: 1e-3",
        "learning_rate: .nan",
        14,
        "training.learning_rate: .nan given; expected a finite number",
    ),
    "too large for a float": (
        "learning_rate: 1e-3",
        "learning_rate: 1e999",
        14,
        "training.learning_rate: 1e999 given; expected a finite number",
    ),
    "scalar for a list": (
        "temperatures_K: [600, 900]",
        "temperatures_K: 600",
        8,
        "initial_data[1].temperatures_K: 600 given; expected: a list of numbers, each above 0 and at most 20000; "
        "write a list: [600]",
    ),
    "empty list": ("[600, 900]", "[]", 8, "initial_data[1].temperatures_K: an empty list given"),
    "empty source": ("pairs: [Li-O]", "pairs: []", 5, "initial_data[0].pairs: an empty list given"),
    "list of the wrong length": (
        "  structures: [t-LLZO]\n  temp",
        "  supercell: [2, 2]\n  structures: [t-LLZO]\n  temp",
        16,
        "exploration.supercell: a list of 2 entries given; expected: a list of exactly 3 whole numbers",
    ),
    "supercell of another structure": (
        "  structures: [t-LLZO]\n  temp",
        "  structures: [t-LLZO]\n  supercells: {Li2O: [2, 2, 2]}\n  temp",
        17,
        "exploration.supercells.Li2O: 'Li2O' is none of exploration.structures (t-LLZO)",
    ),
    "section for a number": ("steps: 1000", "steps: {a: 1}", 13, "training.steps: a section with keys given"),
    "number for a section": (
        "training:\n  steps: 1000\n  learning_rate: 1e-3\n",
        "training: 5\n",
        12,
        "training: 5 given; expected a section",
    ),
    "sections without hyphens": (
        "  - kind: dimers\n    pairs: [Li-O]\n  - kind: reference_md\n    structures: [t-LLZO]\n"
        "    temperatures_K: [600, 900]\n    timestep_fs: 2\n",
        "  kind: dimers\n",
        4,
        "initial_data: a section with keys given; expected a list of sections; start each entry with a hyphen",
    ),
    "wrong word": (
        "  steps: 1000",
        "  backend: torch",
        13,
        "training.backend: 'torch' given; allowed: one of auto, tensorflow, pytorch, pytorch-exportable; did you mean pytorch?",
    ),
    "wrong word or list": (
        "  steps: 1000",
        "  neighbors: Auto",
        13,
        "training.neighbors: 'Auto' given; allowed: a list of whole numbers, each at least 1 or auto; did you mean auto?",
    ),
    "wrong word in capitals": (
        "  guard:",
        "  ensemble: NVT\n  guard:",
        18,
        "exploration.ensemble: 'NVT' given; allowed: one of nvt, npt; did you mean nvt?",
    ),
    "number for a name": ("name: demo", "name: 2024", 1, "name: 2024 given; expected: text that matches"),
    "name with a slash": ("name: demo", "name: a/b", 1, "name: 'a/b' given; expected: text that matches"),
    "tag": ("name: demo", "name: !!python/name:os.system demo", 1, "is not allowed"),
    "number as a key": ("  steps: 1000", "  1: 1000", 13, "training: the key 1 is no name"),
    "list as a key": ("  steps: 1000", "  [a]: 1000", 13, "training: a list or section is used as a key"),
    "missing file": (
        "  structures: [t-LLZO]\n  temp",
        "  structures: [hot.cif]\n  temp",
        16,
        "exploration.structures[0]: structure 'hot.cif': neither a built-in crystal (t-LLZO, c-LLZO, Li, Li2O, La2O3, ZrO2)",
    ),
    "misspelt crystal": (
        "structures: [t-LLZO]\n    temp",
        "structures: [LLZO]\n    temp",
        7,
        "Did you mean 't-LLZO'?",
    ),
    "pair outside the type map": (
        "pairs: [Li-O]",
        "pairs: [Li-O, Li-Cl]",
        5,
        "initial_data[0].pairs[1]: 'Li-Cl' holds Cl, an element outside the type map; `elements` lists Li, La, Zr, O",
    ),
    "no pair": (
        "pairs: [Li-O]",
        "pairs: [LiO]",
        5,
        "initial_data[0].pairs[0]: 'LiO' given; allowed: two elements joined by a hyphen",
    ),
    "pair twice": (
        "pairs: [Li-O]",
        "pairs: [Li-O, O-Li]",
        5,
        "initial_data[0].pairs[1]: 'O-Li' is the same pair as 'Li-O'",
    ),
    "guard's pair outside the type map": (
        "      Li-O: 1.3",
        "      Li-F: 1.3",
        20,
        "exploration.guard.min_distances_A.Li-F: 'Li-F' holds F",
    ),
    "guard's distance": (
        "      Li-O: 1.3",
        "      Li-O: -1",
        20,
        "exploration.guard.min_distances_A.Li-O: -1 given; expected: a number above 0",
    ),
    "crystal outside the type map": (
        "elements: [Li, La, Zr, O]",
        "elements: [Li, Zr, O]",
        7,
        "initial_data[1].structures[0]: t-LLZO holds La, outside the type map; `elements` lists Li, Zr, O",
    ),
    "no chemical symbol": (
        "elements: [Li, La, Zr, O]",
        "elements: [Li, La, Zr, O, Xx]",
        2,
        "elements[4]: 'Xx' given; allowed: chemical symbols",
    ),
    "symbol in capitals": (
        "elements: [Li, La, Zr, O]",
        "elements: [Li, La, ZR, O]",
        2,
        "elements[2]: 'ZR' given; allowed: chemical symbols; did you mean Zr?",
    ),
    "element twice": (
        "elements: [Li, La, Zr, O]",
        "elements: [Li, La, Zr, O, Li]",
        2,
        "elements[4]: Li is listed twice",
    ),
    "element without classical parameters": (
        "elements: [Li, La, Zr, O]",
        "elements: [Li, La, Zr, O, Al]",
        2,
        "elements[4]: Al given; labelling.engine classical_reference only knows Li, La, Zr, O",
    ),
    "timestep does not divide the interval": (
        "timestep_fs: 2",
        "timestep_fs: 3",
        6,
        "initial_data[1].snapshot_interval_fs: is 100; must be a whole multiple of timestep_fs (3), such as 99",
    ),
    "interval longer than the run": (
        "timestep_fs: 2",
        "snapshot_interval_fs: 2000",
        9,
        "initial_data[1].snapshot_interval_fs: is 2000; longer than the run itself (duration_ps is 1, that is 1000 fs)",
    ),
    "dimers in too small a box": (
        "pairs: [Li-O]",
        "box_length_A: 8",
        5,
        "initial_data[0].box_length_A: is 8; must be more than twice distance_max_A (4)",
    ),
    "dimers that see their images": (
        "pairs: [Li-O]",
        "box_length_A: 9",
        5,
        "initial_data[0].box_length_A: is 9; must be more than distance_max_A plus labelling.cutoff_A (4 + 6)",
    ),
    "a range of distances turned round": (
        "pairs: [Li-O]",
        "distance_min_A: 5",
        5,
        "initial_data[0].distance_min_A: is 5; must be smaller than distance_max_A (4)",
    ),
    "a pair outside the elements": (
        "pairs: [Li-O]",
        "starts_A:\n      Li-F: 1.5",
        6,
        "initial_data[0].starts_A.Li-F: 'Li-F' holds F, an element outside the type map",
    ),
    "a start beyond the end": (
        "pairs: [Li-O]",
        "starts_A: {Li-O: 4.5}",
        5,
        "initial_data[0].starts_A.Li-O: is 4.5; must be smaller than distance_max_A (4)",
    ),
    "a pair that starts beyond the end by the rule": (
        "pairs: [Li-O]",
        "distance_max_A: 2",
        5,
        "initial_data[0].distance_max_A: is 2; La-La starts at 2.28 by start_fraction (0.55)",
    ),
    "a spin that no electrons have": (
        "pairs: [Li-O]",
        "multiplicities: {O-O: 2}",
        5,
        "initial_data[0].multiplicities.O-O: is 2; O-O with charge 0 has 16 electrons",
    ),
    "a charge that is no whole number": (
        "pairs: [Li-O]",
        "charges: {Li-O: 0.5}",
        5,
        "initial_data[0].charges.Li-O: 0.5 given; expected: a whole number",
    ),
    "lengths and volumes scaled at once": (
        "kind: dimers\n    pairs: [Li-O]",
        "kind: crystals\n    structures: [Li2O]\n    scale_factors: [1]\n    volume_factors: [1]",
        7,
        "initial_data[0].volume_factors: given beside scale_factors",
    ),
    "temperature twice": (
        "[600, 900]",
        "[600, 900, 600.0]",
        8,
        "initial_data[1].temperatures_K[2]: 600.0 is listed twice",
    ),
    "limits the wrong way round": (
        "training:",
        "stopping:\n  min_iterations: 5\n  max_iterations: 3\ntraining:",
        13,
        "stopping.min_iterations: is 5; must not be larger than max_iterations (3)",
    ),
    "NPT without virials": (
        "  guard:",
        "  ensemble: npt\n  guard:",
        18,
        "exploration.ensemble: npt needs trained virials",
    ),
    "neighbours of other elements": (
        "  steps: 1000",
        "  neighbors: [40, 20]",
        13,
        "training.neighbors: 2 numbers given for 4 elements",
    ),
    "type map overridden": (
        "  steps: 1000",
        "  overrides:\n    model:\n      type_map: [O]",
        15,
        "training.overrides.model.type_map: the type map is the campaign's `elements`",
    ),
    "environment variable": (
        "name: demo",
        "name: demo\ndirectory: $SCRATCH/x",
        2,
        "environment variables are not expanded",
    ),
    "campaign around its own file": (
        "name: demo",
        "name: demo\ndirectory: .",
        2,
        "holds the campaign file itself",
    ),
    "campaign above its own file": (
        "name: demo",
        "name: demo\ndirectory: ../..",
        2,
        "holds the campaign file itself",
    ),
    "tab": ("  steps: 1000", "\tsteps: 1000", 13, "a tab in the indentation"),
    "colon in a text": ("name: demo", "name: demo: two", 1, "not YAML: mapping values are not allowed here"),
    "bracket not closed": (
        "[600, 900]",
        "[600, 900",
        8,
        "not YAML: a flow sequence opened here is not closed",
    ),
    "quote not closed": (
        "name: demo",
        "name: 'demo",
        1,
        "not YAML: a quoted scalar opened here is not closed",
    ),
    "two documents": ("labelling:", "---\nlabelling:", 10, "a second document starts here"),
    "unknown alias": ("name: demo", "name: *demo", 1, "undefined alias"),
    "alias of itself": ("      Li-O: 1.3", "      Li-O: &x [*x]", 20, "an alias (*) that holds itself"),
}
