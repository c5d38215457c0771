"""A trained run, scored: by the metrics and by the information terms."""
