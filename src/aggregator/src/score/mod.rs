//! `whichroom score`: how right the decisions are where the truth is known. Which truth, the arguments say: recorded
//! traces of a phone that was carried from room to room, or a simulated house.

pub(crate) mod house;
pub(crate) mod traces;

use crate::Failure;

/// Runs `whichroom score`.
pub fn main(args: lexopt::Parser) -> Result<(), Failure> {
    let is_house = args.clone().raw_args()?.any(|argument| argument == "--house");
    if is_house { house::main(args) } else { traces::main(args) }
}
