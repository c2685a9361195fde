"""Initial structures: crystals, dimers and the starts of reference dynamics."""
