"""The receipt: one document that says what was asked, answered, paid and checked, so that anyone
can judge it again."""
