//! A failure as the user sees it: one line that says what failed and what to do, and an exit code.

use std::fmt;
use std::io;

/// What failed, what to do about it, and the exit code that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    what: String,
    remedy: Option<String>,
    code: u8,
}

impl Failure {
    /// A failure at run time: exit code 1.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: None, code: 1 }
    }

    /// Wrong usage: exit code 2.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: None, code: 2 }
    }

    /// Something that comes with a later version: exit code 2.
    pub fn not_built_yet(what: &str) -> Self {
        Self::usage(format!("{what}: not built yet"))
    }

    /// A failed system call.
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(format!("{what}: {}", describe(error)))
    }

    /// The same failure with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// What to do about it, if known.
    pub fn what_to_do(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one_line = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
        f.write_str(&one_line(&self.what))?;
        match &self.remedy {
            Some(remedy) => write!(f, "; {}", one_line(remedy)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// An error's text without Rust's "(os error N)".
fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_it_is_made_of() {
        let error = io::Error::from_raw_os_error(libc::EPERM);
        let failure = Failure::io("cannot attach\nto tap0", &error).remedy("run it\n  as root");
        assert_eq!(failure.to_string(), "cannot attach to tap0: Operation not permitted; run it as root");
        assert_eq!(failure.code(), 1);
        assert_eq!(Failure::not_built_yet("IPv6").code(), 2);
    }
}
