"""What can be done in the server: one function a capability, doors above, rows below."""
