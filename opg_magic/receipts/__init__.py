"""Receipts: what was asked, answered, paid and checked, kept so that anyone can judge it again."""
