"""Serves what the collectors read, joined with the pods that hold the devices, as Prometheus metrics."""
