"""What happens to brokers, cameras, Edge TPUs, processes, disks and clocks, and what comes of it."""
