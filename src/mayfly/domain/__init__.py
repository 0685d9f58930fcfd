"""Reason: pure decisions about jobs, nodes, quota and order. No I/O, no clock, no framework."""
