"""What we say over HTTP: Mayfly's own doors, and the agent protocol."""
