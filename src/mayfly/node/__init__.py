"""What can be done on a node: the agent, its supervisors, sandboxes and gateway."""
