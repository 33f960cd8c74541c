"""Fitting weights and measuring them. Needs the engine, and nothing of the engine needs it."""
