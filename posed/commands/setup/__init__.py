"""`posed setup`: asks for what cannot be guessed, tests each answer, and writes a configuration."""
