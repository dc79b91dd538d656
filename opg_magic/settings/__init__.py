"""What the user has set, and where things of theirs are kept: environment, paths, settings, limits,
prices."""
