"""The outside world, asked with care: registry, RPCs that must agree, pinned TLS, hosts, the
settlement relay."""
