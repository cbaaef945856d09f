"""Spans and records of AI work, in whatever convention, as our events."""
