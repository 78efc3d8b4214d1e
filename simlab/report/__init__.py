"""One HTML file on what a folder holds: the verdicts of `simlab verify`, and the runs of `simlab run`."""
