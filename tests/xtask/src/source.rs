//! Reading Rust source just closely enough for the checks: without comments, strings and test modules.

use std::path::{Path, PathBuf};

/// All files ending in `.rs` below `dir`, sorted.
pub fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                if entry.file_name() != "target" {
                    dirs.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// A token with the line it stands on: an identifier, `::`, or any other single character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// Splits code into tokens; comments, strings, character literals and lifetimes give none.
pub fn tokens(code: &str) -> Vec<Token> {
    let chars: Vec<char> = code.chars().collect();
    let mut found = Vec::new();
    let (mut i, mut line) = (0, 1);
    while let Some(&c) = chars.get(i) {
        let rest = &chars[i..];
        let length = skipped(rest).unwrap_or_else(|| {
            let length = match c {
                _ if is_word(c) => rest.iter().take_while(|c| is_word(**c)).count(),
                ':' if rest.get(1) == Some(&':') => 2,
                _ => 1,
            };
            if !c.is_whitespace() {
                found.push(Token { text: rest[..length].iter().collect(), line });
            }
            length
        });
        line += rest[..length].iter().filter(|c| **c == '\n').count();
        i += length;
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the comment, literal or lifetime that `rest` begins with, if any.
fn skipped(rest: &[char]) -> Option<usize> {
    let starts = |text: &str| text.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c));
    if starts("//") {
        return Some(rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()));
    }
    if starts("/*") {
        return Some(block_comment(rest));
    }
    for prefix in ["r", "br", "cr"] {
        let hashes = rest.iter().skip(prefix.len()).take_while(|c| **c == '#').count();
        let open = prefix.len() + hashes;
        if starts(prefix) && rest.get(open) == Some(&'"') {
            let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let body = rest.get(open + 1..)?;
            let at = body.windows(end.len()).position(|w| w == end).unwrap_or(body.len());
            return Some((open + 1 + at + end.len()).min(rest.len()));
        }
    }
    for prefix in ["", "b", "c"] {
        let open = prefix.len();
        if starts(prefix) && rest.get(open) == Some(&'"') {
            return Some(quoted(rest, open, '"'));
        }
    }
    for open in [0, 1] {
        if rest.get(open) == Some(&'\'') && (open == 0 || rest.first() == Some(&'b')) {
            let is_char = rest.get(open + 1) == Some(&'\\') || rest.get(open + 2) == Some(&'\'');
            return Some(if is_char {
                quoted(rest, open, '\'')
            } else {
                1 + open + rest.iter().skip(open + 1).take_while(|c| is_word(**c)).count()
            });
        }
    }
    None
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut i) = (0usize, 0);
    while i < rest.len() {
        match (rest[i], rest.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => {
                (depth, i) = (depth - 1, i + 2);
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    i
}

/// The length of a quoted literal whose opening quote stands at `open`.
fn quoted(rest: &[char], open: usize, quote: char) -> usize {
    let mut i = open + 1;
    while let Some(&c) = rest.get(i) {
        match c {
            '\\' => i += 2,
            _ if c == quote => return i + 1,
            _ => i += 1,
        }
    }
    rest.len()
}

/// Takes out every item that is compiled for tests only, and names the modules among them that have files of their own.
pub fn without_tests(all: &[Token]) -> (Vec<Token>, Vec<String>) {
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let text = |i: usize| all.get(i).map_or("", |t| t.text.as_str());
    let mut i = 0;
    while i < all.len() {
        let attribute = text(i) == "#" && text(i + 1) == "[";
        if !(attribute && text(i + 2) == "cfg" && is_for_tests(all, i + 3)) {
            kept.push(all[i].clone());
            i += 1;
            continue;
        }
        while text(i) == "#" && text(i + 1) == "[" {
            i = closing(all, i + 1) + 1;
        }
        let start = i;
        while !matches!(text(i), "{" | ";" | "") {
            i += 1;
        }
        if text(i) == "{" {
            i = closing(all, i);
        } else if let Some(at) = (start..i).find(|at| text(*at) == "mod") {
            modules.push(text(at + 1).to_owned());
        }
        i += 1;
    }
    (kept, modules)
}

/// Whether the predicate in parentheses at `open` is `test` or an `all` with `test` in it.
fn is_for_tests(all: &[Token], open: usize) -> bool {
    let text = |i: usize| all.get(i).map_or("", |t| t.text.as_str());
    match text(open + 1) {
        "test" => text(open + 2) == ")",
        "all" => all[open..closing(all, open)].iter().any(|t| t.text == "test"),
        _ => false,
    }
}

/// The place of the bracket that closes the one at `open`.
pub fn closing(all: &[Token], open: usize) -> usize {
    let mut depth = 0usize;
    for (i, token) in all.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return i;
                }
            }
            _ => {}
        }
    }
    all.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(code: &str) -> Vec<String> {
        tokens(code).into_iter().map(|t| t.text).collect()
    }

    #[test]
    fn comments_strings_characters_and_lifetimes_are_not_tokens() {
        let code = r####"a // unsafe
            /* unsafe /* nested */ unsafe */ b "unsafe \" unsafe" c r#"unsafe " unsafe"# d
            'x' e '\'' f &'unsafe g b"unsafe" b'"' h br##"unsafe"# "## i"####;
        assert_eq!(words(code), ["a", "b", "c", "d", "e", "f", "&", "g", "h", "i"]);
    }

    #[test]
    fn lines_are_counted_through_what_is_skipped() {
        let found = tokens("a /* \n\n */ b \"x\ny\" c\nd");
        let lines: Vec<usize> = found.iter().map(|t| t.line).collect();
        assert_eq!(lines, [1, 3, 4, 5]);
    }

    #[test]
    fn items_for_tests_are_taken_out_and_their_files_named() {
        let code = "
            a; #[cfg(test)] mod tests { use b; { c } }
            #[cfg(all(test, feature = \"x\"))] #[path = \"y\"] pub(crate) mod model;
            #[cfg(not(test))] d; #[cfg(test)] use e::{f, g}; h";
        let (kept, modules) = without_tests(&tokens(code));
        let kept: Vec<&str> = kept.iter().map(|t| t.text.as_str()).filter(|t| t.chars().all(is_word)).collect();
        assert_eq!(kept, ["a", "cfg", "not", "test", "d", "h"]);
        assert_eq!(modules, ["model"]);
    }
}
