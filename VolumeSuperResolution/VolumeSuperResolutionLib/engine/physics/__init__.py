"""What a scanner does to a volume, and all that follows from it without learning."""
