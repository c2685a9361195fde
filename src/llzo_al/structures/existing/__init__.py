"""Data that exists already: recognising, reading and checking it."""
