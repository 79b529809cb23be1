//! `whichroom score`: how right the decisions are where the truth is known. Which truth, the arguments say: recorded
//! traces of a phone that was carried from room to room.

mod traces;

use crate::Failure;

/// Runs `whichroom score`.
pub fn main(args: lexopt::Parser) -> Result<(), Failure> {
    traces::main(args)
}
