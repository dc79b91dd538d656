"""The simulated network: everything that a call meets outside of the user's kernel, on loopback.

Only its own command and tests import it; the kernel speaks to it over sockets, and finds it through
:mod:`opg_magic.network.simnet_client`.  From the ground up::

    model/        what answers: a script, weights on this machine, or a server of the user's
    chain/        an EVM behind Ethereum's JSON-RPC
    contracts/    what stands on the two chains: token, Permit2, registry, settlement relay
    payment/      the facilitator, payment sessions, and the terms that hosts ask for
    settlement/   batches of answers' hashes, and the store of their trees
    host/         a gateway in its enclave: TLS, attestation, payment, answers
    cheats/       ways in which a host can lie
    oblivious/    a relay between the kernel and the hosts
    network.py    all of it in one event loop, with control.py to steer it
    process/      the background process and its command, ``opg simnet``
"""
