"""Keys, spending limits, payment signatures, and what the payment chain knows."""
