"""A prompt for each row of a table: rendered, planned, asked over several hosts, and put back as
columns.  The ledger is the checkpoint: what came is never paid for twice."""
