"""Shapes of Azure's own doors, as its clients read them. Bodies are kept as they came: what is not understood stays."""
