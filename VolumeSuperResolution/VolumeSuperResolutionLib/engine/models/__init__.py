"""What a model is: its card, its weights, and how its networks are applied."""
