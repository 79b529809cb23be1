//! Recordings: everything the engine was given, as compressed JSON lines (`line`), so that every decision can be made
//! again. `writer` writes them, `reader` reads them.

pub mod line;
pub mod reader;
pub mod writer;
