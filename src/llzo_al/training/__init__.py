"""Training of the committee with DeePMD-kit."""
