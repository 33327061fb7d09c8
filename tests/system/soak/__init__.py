"""A day in fast motion: the daemon, what goes wrong meanwhile, and what that does to memory and threads."""
