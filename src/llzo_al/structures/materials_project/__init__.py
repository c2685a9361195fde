"""Crystals of the Materials Project: asking its API, keeping its answers, and the frames made of them."""
