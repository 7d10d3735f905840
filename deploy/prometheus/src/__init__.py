"""Alerts and recording rules for Prometheus; tools/gen_alerts.py writes the files and the page about the alerts."""
