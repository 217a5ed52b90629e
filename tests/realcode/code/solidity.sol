// SPDX-License-Identifier: MIT
pragma solidity ^0.8.0;
import "./Stock.sol";
import {Item as Thing, Price} from "./Item.sol";

contract Orders is Base {
    uint public total;
    event Paid(address who, uint amount);
    struct Line { uint count; }
    enum Size { Small, Big }
    modifier open() { require(total > 0); _; }

    constructor(uint start) { total = start; }

    /* Pays. */
    function pay(uint amount) public open returns (bool) {
        if (amount == 0 || total > amount) return false;
        emit Paid(msg.sender, amount);
        return true;
    }
}

interface Rule { function holds(uint x) external returns (bool); }
library Twice { function twice(uint x) internal pure returns (uint) { return 2 * x; } }
