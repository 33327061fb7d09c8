"""`posed doctor`: whether everything that the daemon needs is there and works."""
