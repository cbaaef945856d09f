"""What the GPUs do with their time."""
