//! The program `whichroom`. All of it is in the library of this package, so that its parsers can be fuzzed.

use std::process::ExitCode;

fn main() -> ExitCode {
    whichroom::main()
}
