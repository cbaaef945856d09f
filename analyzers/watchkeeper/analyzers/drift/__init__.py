"""How far inputs and scores have moved from the reference."""
