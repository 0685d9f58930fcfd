"""What can be done for a user: find a server, submit, follow, download."""
