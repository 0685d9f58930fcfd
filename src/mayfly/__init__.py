"""Mayfly: self-hosted serverless training compute. See docs/architecture.md for the floors."""

__version__ = "0.1.0"
