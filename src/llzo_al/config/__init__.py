"""The campaign file: its models, how it is read and checked, its reference, and what it will cost."""
