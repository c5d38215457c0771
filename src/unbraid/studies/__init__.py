"""Studies: a grid of runs from a TOML file, run wherever there are cores, to one results table."""
