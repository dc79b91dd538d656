"""The background process and the command that starts it."""
