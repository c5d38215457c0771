"""Hyperparameters of methods: their definition and validation."""

from __future__ import annotations

import dataclasses
from typing import Any

from unbraid.errors import ArgumentError


def hyperparameter(default: Any, explanation: str, unit: str, paper: str) -> Any:
    """Define a field of a method: a flag, a key of config.toml and its documentation at once.

    Parameters
    ----------
    default : any
        Default value.
    explanation : str
        Help text: a phrase that starts with a noun or an imperative verb.
    unit : str
        Unit of the value; "1" if it has none.
    paper : str
        Value in the paper, or "ours" for a method of this project.

    Returns
    -------
    dataclasses.Field
        Field whose metadata are the help, the unit and the paper's value.

    Examples
    --------
    >>> field = hyperparameter(4.0, "weight of the KL", "1", "4")
    >>> field.default, field.metadata["help"]
    (4.0, 'weight of the KL')
    """
    metadata = {"help": explanation, "unit": unit, "paper": paper}
    return dataclasses.field(default=default, metadata=metadata)


class Hyperparameters:
    """Validation of hyperparameters: each check raises `ArgumentError`."""

    def require(self, condition: bool, argument: str, rule: str, valid: str) -> None:
        """Raise an error unless a condition on a hyperparameter is true.

        Parameters
        ----------
        condition : bool
            Whether the value is valid.
        argument : str
            Name of the hyperparameter.
        rule : str
            Rule that every value must satisfy, for example "must be at least 1".
        valid : str
            Valid values, for example "1 or more".

        Raises
        ------
        ArgumentError
            If the condition is false.
        """
        if not condition:
            raise ArgumentError(
                argument, getattr(self, argument), rule, f"set `{argument}` to {valid}"
            )

    def require_at_least(self, minimum: int, *arguments: str) -> None:
        """Raise an error if a hyperparameter is less than a minimum.

        Parameters
        ----------
        minimum : int
            Smallest valid value.
        *arguments : str
            Names of the hyperparameters.

        Raises
        ------
        ArgumentError
            If a value is less than `minimum`.
        """
        for name in arguments:
            valid = getattr(self, name) >= minimum
            self.require(valid, name, f"must be at least {minimum}", f"{minimum} or more")

    def require_positive(self, *arguments: str) -> None:
        """Raise an error if a hyperparameter is not greater than 0.

        Parameters
        ----------
        *arguments : str
            Names of the hyperparameters.

        Raises
        ------
        ArgumentError
            If a value is 0 or less.
        """
        for name in arguments:
            self.require(
                getattr(self, name) > 0, name, "must be greater than 0", "a value greater than 0"
            )
