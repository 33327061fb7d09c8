"""`posed bench`: how fast this machine is, stage by stage."""
