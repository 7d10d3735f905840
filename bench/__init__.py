"""Measures the cost of the exporter: `make bench` prints the tables of docs/performance.md. Not part of the product."""
