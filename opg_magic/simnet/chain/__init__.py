"""A chain of the simulated network: py-evm in this process, behind Ethereum's JSON-RPC.

``machine`` mines and executes, ``chain`` is what Python code uses, ``methods`` answers JSON-RPC,
``server`` serves it over HTTP, ``precompile`` is what the registry's chain verifies natively."""
