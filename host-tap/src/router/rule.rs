//! What the rules of the packet filter and those of the ways have in common: they are read from text.

use std::fmt;

/// Text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRuleError {
    text: String,
    example: &'static str,
}

impl ParseRuleError {
    /// `text` is no rule; `example` is one.
    pub(super) fn new(text: &str, example: &'static str) -> Self {
        Self { text: text.into(), example }
    }
}

impl fmt::Display for ParseRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no rule such as `{}`", self.text, self.example)
    }
}

impl std::error::Error for ParseRuleError {}
