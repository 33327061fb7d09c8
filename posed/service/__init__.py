"""What the daemon owes the service manager that runs it."""
