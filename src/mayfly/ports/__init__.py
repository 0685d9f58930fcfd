"""What we need from outside, as promises in prose above protocols.

Whoever implements one inherits its contract suite from `mayfly.testing`.
"""
