"""What it costs the operation, in money."""
