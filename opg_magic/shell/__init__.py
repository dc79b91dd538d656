"""The command ``opg``."""
