"""What is wrong with a user's data or wishes, in words that name the file and the row."""


class OwnDataError(Exception):
    """Images, captions or options that cannot be trained on. The message is for the user."""
