"""The roof: composition roots, where concrete parts meet."""
