"""Finds out which container holds which device: one module per source of that knowledge."""
