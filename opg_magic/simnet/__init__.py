"""The simulated network: chains, contracts, hosts, facilitator.  Nothing but tests and its own
command imports it."""
