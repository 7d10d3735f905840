"""Disturbs a running exporter for a long time and checks that nothing grows: `make soak`. Not part of the product."""
