"""Mayfly's own datastores as Azure's blob service shows containers: what its clients need, under signatures of our own."""

from mayfly.api.blob.door import BlobDoor

__all__ = ["BlobDoor"]
