"""The arithmetic of objectives: windows, budgets, gates and the slow burn; no reading, no clock."""
