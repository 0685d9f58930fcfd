"""Histories: what can happen to jobs and nodes, drawn from a seed, played, and held against the promises."""
