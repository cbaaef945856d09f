"""Checks of the data itself: missing, unseen, out of range, frozen, of the wrong type."""
