"""Evaluation of a trained run: its scores under named protocols, and its information terms."""
