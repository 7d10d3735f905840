"""`accelerator-exporter check`: reads the node once, reports what is missing and the consequence."""
