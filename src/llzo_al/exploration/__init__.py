"""Molecular dynamics that looks for what the training set does not hold yet."""
