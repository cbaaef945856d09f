"""The version, as the User-Agent header tells it."""

__version__ = "0.1.0"
