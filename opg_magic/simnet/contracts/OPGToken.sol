// SPDX-License-Identifier: BSD-3-Clause
pragma solidity 0.8.36;

/// The token of the simulated network: a plain ERC-20 (EIP-20) whose admin can mint.
contract OPGToken {
    string public constant name = "OpenGradient";
    string public constant symbol = "OPG";
    uint8 public constant decimals = 18;

    address public admin;
    uint256 public totalSupply;
    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);

    error NotAdmin();
    error AlreadyInitialized();
    error InvalidReceiver();
    error InsufficientBalance(address account, uint256 balance, uint256 needed);
    error InsufficientAllowance(address spender, uint256 allowed, uint256 needed);

    /// The code is put into the chain's state without a constructor: this takes its place, once.
    function initialize(address newAdmin) external {
        if (admin != address(0)) revert AlreadyInitialized();
        admin = newAdmin;
    }

    function mint(address to, uint256 value) external {
        if (msg.sender != admin) revert NotAdmin();
        if (to == address(0)) revert InvalidReceiver();
        totalSupply += value;
        unchecked {
            balanceOf[to] += value; // at most the total, which was checked
        }
        emit Transfer(address(0), to, value);
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        // An allowance of all ones is meant for good: it is not counted down.
        if (allowed != type(uint256).max) {
            if (allowed < value) revert InsufficientAllowance(msg.sender, allowed, value);
            unchecked {
                allowance[from][msg.sender] = allowed - value;
            }
        }
        _move(from, to, value);
        return true;
    }

    function _move(address from, address to, uint256 value) private {
        if (to == address(0)) revert InvalidReceiver();
        uint256 balance = balanceOf[from];
        if (balance < value) revert InsufficientBalance(from, balance, value);
        unchecked {
            balanceOf[from] = balance - value;
            balanceOf[to] += value;
        }
        emit Transfer(from, to, value);
    }
}
