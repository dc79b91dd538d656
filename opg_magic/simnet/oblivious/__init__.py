"""The way through a relay: hosts that unseal, a relay that carries and pays, and lies of either."""
