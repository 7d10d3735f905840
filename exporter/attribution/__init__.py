"""Finds out which device is allocated to which container: one module for each source."""
