"""Figures of runs and pages of studies. Nothing here trains or measures."""
