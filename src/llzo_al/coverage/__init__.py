"""Coverage of atomic environments: descriptors, principal planes, cells, and their ceiling."""
