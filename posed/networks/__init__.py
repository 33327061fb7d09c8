"""What the arrays of a network mean."""
