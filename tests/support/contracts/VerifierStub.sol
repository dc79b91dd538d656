// SPDX-License-Identifier: BSD-3-Clause
pragma solidity 0.8.36;

/// Stands at 0x900 on a chain that does not verify anything natively.  It accepts every attestation of a signing key
/// that a test has told it of, with the measurement told, and every RSA-PSS signature but those that a test named.
contract VerifierStub {
    mapping(bytes32 keyHash => bytes32 pcrHash) public pcrHashOf;
    mapping(bytes32 signatureHash => bool) public refused;

    function attestTo(bytes32 keyHash, bytes32 pcrHash) external {
        pcrHashOf[keyHash] = pcrHash;
    }

    function refuse(bytes32 signatureHash) external {
        refused[signatureHash] = true;
    }

    function verifyAttestation(bytes calldata, bytes calldata signingKey, bytes calldata)
        external
        view
        returns (bool valid, bytes32 pcrHash)
    {
        pcrHash = pcrHashOf[keccak256(signingKey)];
        valid = pcrHash != 0;
    }

    function verifyRSAPSS(bytes calldata, bytes32, bytes calldata signature) external view returns (bool valid) {
        valid = !refused[keccak256(signature)];
    }
}
