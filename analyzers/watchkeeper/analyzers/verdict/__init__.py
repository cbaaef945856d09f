"""One verdict per model: what has changed, since when, and whether it does harm."""
