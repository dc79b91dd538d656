"""The way to hosts through a relay: it carries, pays, and may lie.  Hosts unseal by themselves."""
