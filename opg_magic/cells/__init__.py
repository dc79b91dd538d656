"""The one grammar of ``%%opg`` cells and lines: what runs them, completes them and audits them
reads it here."""
