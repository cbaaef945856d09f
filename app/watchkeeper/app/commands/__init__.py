"""Commands that stand in a file of their own: each has ``register(cli)``, and is found by being here."""
