"""What a model file is, which ones are known, and how they get here."""
