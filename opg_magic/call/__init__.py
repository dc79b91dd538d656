"""One call from prompt to receipt.  ``engine`` is the file to read first."""
