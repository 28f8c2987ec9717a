"""UserError: something the user can mend, told in one line."""


class UserError(Exception):
    """A mistake in the input, not in the code: the command line prints the message alone and exits with 2.

    The message names the file or the value seen and the cure, in one sentence or two.
    """
