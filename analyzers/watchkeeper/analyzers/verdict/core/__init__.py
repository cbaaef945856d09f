"""The pure core of the verdict: numbers in, decisions out; no I/O and no clock."""
