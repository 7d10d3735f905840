"""Measures what the exporter costs: `make bench` prints the tables of docs/performance.md. No part of the product."""
