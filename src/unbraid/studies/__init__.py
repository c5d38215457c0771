"""Studies: grids of runs defined in a TOML file, and the tables of their results."""
