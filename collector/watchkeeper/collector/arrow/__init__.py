"""Predictions that come as columns: an Arrow IPC stream, checked and stored without a row ever being an object."""
