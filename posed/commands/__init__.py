"""What the subcommands of `posed` do, but for `run`, which is the daemon."""
