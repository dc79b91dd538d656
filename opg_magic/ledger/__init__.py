"""The ledger: every receipt of this user in one SQLite file, as rows, as a DataFrame, as exported
tables."""
