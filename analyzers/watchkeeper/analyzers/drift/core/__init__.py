"""The pure parts of the methods."""
