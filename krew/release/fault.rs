//! The one error of this program: what stopped it, and what to do.

use std::fmt::{self, Display};
use std::io;
use std::path::Path;

/// Why nothing was made. `Display` is lower case and names the thing.
#[derive(Debug)]
pub struct Fault {
    pub message: String,
    /// What to do, or empty.
    pub hint: String,
}

pub type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: String::new() }
    }

    /// What the system says about a file, for `map_err`.
    pub fn at(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        move |error| Self::new(format!("{}: {error}", path.display()))
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same, with the thing in front in which it was found.
    pub fn within(mut self, what: impl Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
