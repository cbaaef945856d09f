"""The composition root: wires the rooms, the command line, serve, demo, doctor."""

__version__ = "0.1.0"
