"""The EVM itself: py-evm by Shanghai's rules, with the precompile of the registry's chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eth.abc import BlockHeaderAPI

#: Gas of one block, and the most that one call may use: bounds how long one request can take.
GAS_LIMIT = 30_000_000

#: The zero address: who mines, and who calls without saying who.
NOBODY = bytes(20)


def new_chain(chain_id: int, timestamp: int, roots: frozenset[str]) -> Any:
    """A py-evm chain with classes of its own, so that no other chain in this process has its id or
    its precompile.  ``timestamp`` in Unix seconds; ``roots``: SHA-256 of attestation roots."""
    from eth.chains.base import MiningChain
    from eth.consensus import ConsensusApplier, NoProofConsensus
    from eth.constants import (
        BLANK_ROOT_HASH,
        POST_MERGE_DIFFICULTY,
        POST_MERGE_MIX_HASH,
        POST_MERGE_NONCE,
    )
    from eth.db.atomic import AtomicDB
    from eth.vm.forks.shanghai import ShanghaiVM
    from eth.vm.forks.shanghai.computation import ShanghaiComputation
    from eth.vm.forks.shanghai.state import ShanghaiState

    from opg_magic.simnet.chain.precompile import ADDRESS, Verifier

    class Computation(ShanghaiComputation):  # type: ignore[misc]
        _precompiles = {**ShanghaiComputation._precompiles, ADDRESS: Verifier(roots)}  # noqa: RUF012

    class State(ShanghaiState):  # type: ignore[misc]
        computation_class = Computation

    class VM(ShanghaiVM):  # type: ignore[misc]
        _state_class = State

        @classmethod
        def validate_header(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
            # Blocks may share a second; all else is checked as ever.
            if header.timestamp == parent_header.timestamp:
                parent_header = parent_header.copy(timestamp=header.timestamp - 1)
            super().validate_header(header, parent_header)

    class SimulatedChain(MiningChain):  # type: ignore[misc]
        vm_configuration = ConsensusApplier(NoProofConsensus).amend_vm_configuration(((0, VM),))

        def create_header_from_parent(
            self, parent_header: BlockHeaderAPI, **params: Any
        ) -> BlockHeaderAPI:
            return super().create_header_from_parent(
                parent_header, **{**params, "gas_limit": GAS_LIMIT}
            )

    SimulatedChain.chain_id = chain_id
    genesis = {
        "coinbase": NOBODY,
        "difficulty": POST_MERGE_DIFFICULTY,
        "extra_data": b"",
        "gas_limit": GAS_LIMIT,
        "mix_hash": POST_MERGE_MIX_HASH,
        "nonce": POST_MERGE_NONCE,
        "receipt_root": BLANK_ROOT_HASH,
        "timestamp": timestamp,
        "transaction_root": BLANK_ROOT_HASH,
    }
    return SimulatedChain.from_genesis(AtomicDB(), genesis, {})
