"""Bedrock: id and clock types, errors, units and the `${{…}}` grammar. Imports nothing of Mayfly."""
