"""Hosts: the registry as read from a chain, the choice among them, and the pinned channel to one."""
