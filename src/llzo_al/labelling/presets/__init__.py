"""Calculators with settings fit for labels: first-principles codes and pretrained potentials.

Each has a light side for the campaign (`llzo_al.labelling.presets.recipes`: identity, no heavy import) and a
module here that builds the calculator of one frame in the labelling child: ``build(settings, atoms, run)``.
"""
