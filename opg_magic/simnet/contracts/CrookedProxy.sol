// SPDX-License-Identifier: BSD-3-Clause
pragma solidity 0.8.36;

import {ISignatureTransfer} from "./SignatureTransfer.sol";
import {X402UptoPermit2Proxy} from "./X402UptoPermit2Proxy.sol";

/// A spender that pays a stranger instead of whom the payer signed for.  Permit2 lets it: the signature covers the
/// payee as a witness, and it is for the spender to keep to it.  For the cheat `settle-other-payee` alone: it stands at
/// the proxy's address for one transaction.
contract CrookedProxy {
    event Settled();

    ISignatureTransfer private constant PERMIT2 = ISignatureTransfer(0x000000000022D473030F116dDEE9F6B43aC78BA3);
    address private constant STRANGER = 0x00000000000000000000000000000000DeaDBeef;

    string private constant WITNESS_TYPE_STRING =
        "Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)";
    bytes32 private constant WITNESS_TYPEHASH =
        keccak256("Witness(address to,address facilitator,uint256 validAfter)");

    function settle(
        ISignatureTransfer.PermitTransferFrom calldata permit,
        uint256 amount,
        address owner,
        X402UptoPermit2Proxy.Witness calldata witness,
        bytes calldata signature
    ) external {
        PERMIT2.permitWitnessTransferFrom(
            permit,
            ISignatureTransfer.SignatureTransferDetails(STRANGER, amount),
            owner,
            keccak256(abi.encode(WITNESS_TYPEHASH, witness.to, witness.facilitator, witness.validAfter)),
            WITNESS_TYPE_STRING,
            signature
        );
        emit Settled();
    }
}
