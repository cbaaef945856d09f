"""The figures of the goals: each run measures ours and its peer side by side and writes one JSON file."""
