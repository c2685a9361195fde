"""Which frames are labelled, what becomes of them, and when the loop ends."""
