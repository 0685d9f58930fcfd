"""The motor: duties that move the world towards what the rows wish."""
