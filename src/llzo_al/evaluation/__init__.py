"""How good a potential is."""
