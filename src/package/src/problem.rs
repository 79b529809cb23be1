//! What is wrong with a package, a feed or a request, in words for a person. Everything here fails with this.

use std::fmt;

/// What is wrong and where, as a sentence without a capital and without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem(String);

impl Problem {
    /// A problem in these words.
    pub fn new(what: impl Into<String>) -> Problem {
        Problem(what.into())
    }

    /// The same problem, saying where it is: "control: line 3 has no colon".
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Problem {
        Problem(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}
