// SPDX-License-Identifier: BSD-3-Clause
pragma solidity 0.8.36;

import {ISignatureTransfer} from "./SignatureTransfer.sol";

/// The spender that payers name in x402's `upto` scheme.  It can only pay `witness.to`, only at the word of
/// `witness.facilitator`, from `witness.validAfter` on, and never more than the signed cap.
contract X402UptoPermit2Proxy {
    struct Witness {
        address to;
        address facilitator;
        uint256 validAfter;
    }

    /// A payment was made.  Payer, payee and amount stand in the token's own Transfer event.
    event Settled();

    error InvalidDestination();
    error InvalidOwner();
    error UnauthorizedFacilitator();
    error PaymentTooEarly();
    error AmountExceedsPermitted();

    ISignatureTransfer public constant PERMIT2 = ISignatureTransfer(0x000000000022D473030F116dDEE9F6B43aC78BA3);

    string public constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";
    bytes32 public constant WITNESS_TYPEHASH =
        keccak256("Witness(address to,address facilitator,uint256 validAfter)");

    /// Charges `amount` of what `owner` signed.  Permit2 checks the signature over all of `permit` and `witness`.
    function settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        Witness calldata witness,
        bytes calldata signature
    ) external {
        if (owner == address(0)) revert InvalidOwner();
        if (witness.to == address(0)) revert InvalidDestination();
        if (msg.sender != witness.facilitator) revert UnauthorizedFacilitator();
        if (block.timestamp < witness.validAfter) revert PaymentTooEarly();
        if (amount > permit.permitted.amount) revert AmountExceedsPermitted();
        PERMIT2.permitWitnessTransferFrom(
            permit,
            ISignatureTransfer.SignatureTransferDetails(witness.to, amount),
            owner,
            keccak256(abi.encode(WITNESS_TYPEHASH, witness.to, witness.facilitator, witness.validAfter)),
            WITNESS_TYPE_STRING,
            signature
        );
        emit Settled();
    }
}
