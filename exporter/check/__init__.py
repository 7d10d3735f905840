"""`accelerator-exporter check`: reads the node once, reports what is missing there and what that costs."""
