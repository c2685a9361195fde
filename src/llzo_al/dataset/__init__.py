"""Frames, their identity and labels, the store that keeps them, and their way to other formats."""
