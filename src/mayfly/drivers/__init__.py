"""Concrete back ends of the ports: compute engines, content folders, the MLflow supervisor."""
