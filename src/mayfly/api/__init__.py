"""The door for programs: HTTP routes, tokens and problem documents."""
