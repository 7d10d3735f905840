"""Grafana dashboards, built from the catalogue; tools/gen_dashboards.py writes the files."""
