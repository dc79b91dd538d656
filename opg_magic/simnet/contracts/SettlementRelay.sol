// SPDX-License-Identifier: BSD-3-Clause
pragma solidity 0.8.36;

import {IVerificationPrecompile, TEERegistry} from "./TEERegistry.sol";

/// Where the hashes of answers are put on record: many at once by the root of a tree, or one by one (protocol
/// section 5).
///
/// Anyone may call it.  A batch is checked by nobody here: whoever relies on one looks at who sent it, and at the
/// signatures in its leaves.
contract SettlementRelay {
    /// `walrusBlobId` is the UTF-8 text of the id under which the tree's dump is stored.
    event BatchSettlement(bytes32 indexed merkleRoot, uint256 batchSize, bytes walrusBlobId);

    event IndividualSettlement(
        bytes32 indexed teeId,
        address indexed ethAddress,
        bytes32 inputHash,
        bytes32 outputHash,
        uint256 timestamp,
        bytes walrusBlobId,
        bytes signature
    );

    error SignatureInvalid();
    error TimestampOutOfBounds(uint256 timestamp);

    TEERegistry public constant REGISTRY = TEERegistry(0x703cB174AEadB35D611858369B4b1111dC9Abda6);
    IVerificationPrecompile private constant VERIFIER = IVerificationPrecompile(address(0x900));

    /// How far a signed timestamp may lie behind and ahead of the block's, inclusive.
    uint256 public constant MAX_TIMESTAMP_AGE = 3600;
    uint256 public constant MAX_TIMESTAMP_LEAD = 300;

    function batchSettle(bytes32 merkleRoot, uint256 batchSize, bytes calldata walrusBlobId) external {
        emit BatchSettlement(merkleRoot, batchSize, walrusBlobId);
    }

    /// One answer whose signature holds under the key that the registry lists for `teeId`.
    function settleIndividual(
        bytes32 teeId,
        bytes32 inputHash,
        bytes32 outputHash,
        uint256 timestamp,
        address ethAddress,
        bytes calldata walrusBlobId,
        bytes calldata signature
    ) external {
        if (timestamp + MAX_TIMESTAMP_AGE < block.timestamp || timestamp > block.timestamp + MAX_TIMESTAMP_LEAD) {
            revert TimestampOutOfBounds(timestamp);
        }
        bytes32 digest = keccak256(abi.encodePacked(inputHash, outputHash, timestamp));
        if (!VERIFIER.verifyRSAPSS(REGISTRY.getTEE(teeId).publicKey, digest, signature)) revert SignatureInvalid();
        emit IndividualSettlement(teeId, ethAddress, inputHash, outputHash, timestamp, walrusBlobId, signature);
    }
}
