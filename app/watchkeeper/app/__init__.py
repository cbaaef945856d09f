"""The composition root: wires the rooms, the command line, serve, demo, doctor."""
