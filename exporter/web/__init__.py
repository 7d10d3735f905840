"""Serves metrics, the status page, liveness and readiness over HTTP."""
