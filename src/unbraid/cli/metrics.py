"""`unbraid metrics`."""

from __future__ import annotations

from cyclopts import App

from unbraid.cli.help import epilogue


def register(app: App) -> None:
    """Add the command."""
    app.command(metrics, help_epilogue=epilogue("unbraid metrics"))


def metrics() -> None:
    """List every metric and its protocols.

    Prints each metric with the protocols under which it is computed, field by field.
    """
    from unbraid.metrics.suite import describe_metrics

    print(describe_metrics())
