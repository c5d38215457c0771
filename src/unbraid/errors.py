"""The one exception that a user's mistake raises."""


class UserError(Exception):
    """A mistake that its user can mend: value, rule and remedy, in one line.

    The command line prints it without a traceback and exits with code 2.
    """
