"""How often the model is right, once outcomes are known."""
