//! The tables of what is tested: every test that tests/HARDENING.md and tests/REQUIREMENTS.md name exists, and no case or
//! requirement is left out.
//!
//! ```text
//! | H021 | ipv4.rs::a_test, another_one_there; unit: ip/v4.rs::a_third (a remark) |
//!          │                                  └ in stack/src/; a path with `/` but without `unit` is from the root
//!          └ in tests/sim/tests/
//! ```

use crate::cargo::root;
use crate::report::Outcome;
use crate::source::{Token, closing, rust_files, tokens};
use std::collections::{BTreeMap, BTreeSet};

/// The cases of tests/HARDENING.md are H001 to this one.
const LAST_CASE: usize = 172;

/// The requirements of RFC 9293: how many there are of each kind.
const RFC_9293: [(&str, usize); 4] = [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)];

/// How a cell of tests/REQUIREMENTS.md begins that names no test.
const REASONS: [&str; 4] = ["Superseded: ", "Not built: ", "By choice: ", "For the application: "];

/// Where the files of tests are.
const TESTED: [&str; 5] = ["stack/src", "tests/sim/tests", "tests/sim/src", "host-tap", "drivers"];

/// Macros that make tests of the functions that they are called with.
const MAKE_TESTS: [&str; 1] = ["on_tap_and_tun"];

/// Names of tests by file, from the root.
type Tests = BTreeMap<String, BTreeSet<String>>;

/// Both tables are right, and count so many references to tests.
pub fn check() -> Outcome {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).map_err(|e| format!("{path}: {e}"));
    let tests = all_tests()?;
    let (hardening, requirements) = (read("tests/HARDENING.md")?, read("tests/REQUIREMENTS.md")?);
    let mut errors = Vec::new();
    let count =
        checked_hardening(&hardening, &tests, &mut errors) + checked_requirements(&requirements, &tests, &mut errors);
    if errors.is_empty() { Ok(format!("{count} references")) } else { Err(errors.join("\n")) }
}

fn all_tests() -> Result<Tests, String> {
    let root = root();
    let mut tests = Tests::new();
    for path in TESTED.iter().flat_map(|dir| rust_files(&root.join(dir))) {
        let code = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let name = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
        tests.insert(name, tests_in(&tokens(&code)));
    }
    Ok(tests)
}

/// The functions that run as tests: with `#[test]` or `#[rstest]`, without `#[ignore]`, or made into tests by a macro.
fn tests_in(all: &[Token]) -> BTreeSet<String> {
    let text = |i: usize| all.get(i).map_or("", |t| t.text.as_str());
    let mut found = BTreeSet::new();
    let mut i = 0;
    while i < all.len() {
        if MAKE_TESTS.contains(&text(i)) && text(i + 1) == "!" && matches!(text(i + 2), "(" | "{" | "[") {
            let end = closing(all, i + 2);
            let made = all[i + 3..end].iter().filter(|t| t.text != ",");
            let functions = made.filter(|t| all.windows(2).any(|w| w[0].text == "fn" && w[1].text == t.text));
            found.extend(functions.map(|t| t.text.clone()));
            i = end;
        }
        let (mut is_test, mut is_ignored) = (false, false);
        while text(i) == "#" && text(i + 1) == "[" {
            let end = closing(all, i + 1);
            is_test |= matches!(text(i + 2), "test" | "rstest") && matches!(text(i + 3), "]" | "(");
            is_ignored |= text(i + 2) == "ignore";
            i = end + 1;
        }
        if is_test && !is_ignored && text(i) == "fn" {
            found.insert(text(i + 1).to_owned());
        }
        i += 1;
    }
    found
}

/// The rows of a file's tables: their cells, headings and rules left out.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    let rows = lines.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    rows.filter(|row| !row[0].chars().all(|c| matches!(c, '-' | ':' | ' ')) && row[0] != "case" && row[0] != "id")
        .collect()
}

fn checked_hardening(text: &str, tests: &Tests, errors: &mut Vec<String>) -> usize {
    let (mut count, mut seen) = (0, BTreeSet::new());
    for row in rows(text) {
        let &[case, cell] = row.as_slice() else {
            errors.push(format!("HARDENING.md: not two cells: {row:?}"));
            continue;
        };
        match case.strip_prefix('H').filter(|digits| digits.len() == 3).and_then(|digits| digits.parse().ok()) {
            Some(n @ 1..=LAST_CASE) if seen.insert(n) => {}
            Some(1..=LAST_CASE) => errors.push(format!("HARDENING.md: {case} has two rows")),
            _ => errors.push(format!("HARDENING.md: there is no case `{case}`")),
        }
        count += checked_cell("HARDENING.md", case, cell, tests, errors);
    }
    let told = cases_told_of(text.rsplit_once('|').map_or("", |(_, rest)| rest));
    for n in 1..=LAST_CASE {
        match (seen.contains(&n), told.contains(&n)) {
            (false, false) => errors.push(format!("HARDENING.md: H{n:03} has neither a row nor a word at the end")),
            (true, true) => errors.push(format!("HARDENING.md: H{n:03} has a row, and is said to have none")),
            _ => {}
        }
    }
    count
}

/// The cases that a text names, `H001` or `H001-H003`.
fn cases_told_of(text: &str) -> BTreeSet<usize> {
    let number = |word: &str| word.strip_prefix('H')?.get(..3)?.parse::<usize>().ok();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let ranges = words.filter_map(|word| match word.split_once('-') {
        Some((first, last)) => Some(number(first)?..=number(last)?),
        None => number(word).map(|n| n..=n),
    });
    ranges.flatten().collect()
}

fn checked_requirements(text: &str, tests: &Tests, errors: &mut Vec<String>) -> usize {
    let (mut count, mut seen) = (0, BTreeSet::new());
    for row in rows(text) {
        let &[id, requirement, cell] = row.as_slice() else {
            errors.push(format!("REQUIREMENTS.md: not three cells: {row:?}"));
            continue;
        };
        if !seen.insert(id) {
            errors.push(format!("REQUIREMENTS.md: {id} has two rows"));
        }
        if requirement.is_empty() {
            errors.push(format!("REQUIREMENTS.md: {id} requires nothing"));
        }
        match REASONS.iter().find_map(|reason| cell.strip_prefix(reason)) {
            Some("") => errors.push(format!("REQUIREMENTS.md: {id}: no reason is given")),
            Some(_) => {}
            None => count += checked_cell("REQUIREMENTS.md", id, cell, tests, errors),
        }
    }
    let wanted = RFC_9293.iter().flat_map(|(kind, last)| (1..=*last).map(move |n| format!("{kind}-{n}")));
    let wanted: BTreeSet<String> = wanted.collect();
    errors.extend(
        wanted.iter().filter(|id| !seen.contains(id.as_str())).map(|id| format!("REQUIREMENTS.md: {id} has no row")),
    );
    let strange = seen.iter().filter(|id| RFC_9293.iter().any(|(kind, _)| id.starts_with(&format!("{kind}-"))));
    let strange = strange.filter(|id| !wanted.contains(**id));
    errors.extend(strange.map(|id| format!("REQUIREMENTS.md: RFC 9293 has no {id}")));
    count
}

/// How many tests the cell names; what is wrong with it is added to `errors`.
fn checked_cell(table: &str, id: &str, cell: &str, tests: &Tests, errors: &mut Vec<String>) -> usize {
    match references(cell) {
        Ok(named) => {
            for (file, name) in &named {
                match tests.get(file) {
                    None => errors.push(format!("{table}: {id}: there is no file {file}")),
                    Some(there) if !there.contains(name) => {
                        errors.push(format!("{table}: {id}: {file} has no test {name}"));
                    }
                    Some(_) => {}
                }
            }
            named.len()
        }
        Err(error) => {
            errors.push(format!("{table}: {id}: {error}"));
            0
        }
    }
}

/// The tests that a cell names: file from the root, and name.
fn references(cell: &str) -> Result<Vec<(String, String)>, String> {
    let mut named = Vec::new();
    let mut file = None;
    for item in without_remarks(cell)?.split([',', ';']).map(str::trim) {
        let name = match item.split_once("::") {
            Some((path, name)) => {
                let unit = path.strip_prefix("unit: ").or_else(|| path.strip_prefix("unit "));
                let path = match (unit, path.contains('/')) {
                    (Some(unit), _) => format!("stack/src/{unit}"),
                    (None, true) => path.to_owned(),
                    (None, false) => format!("tests/sim/tests/{path}"),
                };
                file = Some(path);
                name
            }
            None => item,
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("`{item}` is no test"));
        }
        named.push((file.clone().ok_or_else(|| format!("`{item}` is in no file"))?, name.to_owned()));
    }
    Ok(named)
}

/// The cell without what stands in parentheses.
fn without_remarks(cell: &str) -> Result<String, String> {
    let (mut kept, mut depth) = (String::new(), 0usize);
    for c in cell.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1).ok_or("a parenthesis closes that was not opened")?,
            _ if depth == 0 => kept.push(c),
            _ => {}
        }
    }
    if depth == 0 { Ok(kept) } else { Err("a parenthesis is not closed".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_tests() -> Tests {
        let there = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Tests::from([
            ("tests/sim/tests/a.rs".to_owned(), there(&["one", "two"])),
            ("stack/src/tcp/b.rs".to_owned(), there(&["three"])),
        ])
    }

    /// A table of all cases, with this cell for the first one.
    fn hardening(cell: &str) -> String {
        format!("Words.\n\n| case | test |\n|---|---|\n| H001 | {cell} |\n\nNot here: H002-H171, and H172 (why).\n")
    }

    /// A table of all requirements of RFC 9293 but `without`, with this cell for each.
    fn requirements(cell: &str, without: &str) -> String {
        let ids = RFC_9293.iter().flat_map(|(kind, last)| (1..=*last).map(move |n| format!("{kind}-{n}")));
        let rows = ids.filter(|id| id != without).map(|id| format!("| {id} | do it | {cell} |\n"));
        format!("| id | requirement | test |\n|---|---|---|\n{}", rows.collect::<String>())
    }

    fn wrong_in_hardening(text: &str) -> Vec<String> {
        let mut errors = Vec::new();
        checked_hardening(text, &some_tests(), &mut errors);
        errors
    }

    fn wrong_in_requirements(text: &str) -> Vec<String> {
        let mut errors = Vec::new();
        checked_requirements(text, &some_tests(), &mut errors);
        errors
    }

    #[test]
    fn tests_are_functions_with_the_attribute_or_of_the_macro_that_run() {
        let code = "
            // #[test] fn in_a_comment() {}
            #[test] fn plain() { helper() } fn helper() {}
            #[rstest] #[case(1)] fn with_cases(#[case] n: u32) {}
            #[cfg(unix)] #[test] #[should_panic] fn with_others() {}
            #[test] #[ignore] fn asleep() {} #[cfg(test)] fn only_configured() {}
            proptest! { #[test] fn random(n in 0..3) {} }
            on_tap_and_tun!(made, not_there,); fn made(link: Link) {}";
        let found: Vec<String> = tests_in(&tokens(code)).into_iter().collect();
        assert_eq!(found, ["made", "plain", "random", "with_cases", "with_others"]);
    }

    #[test]
    fn references_are_read_with_their_files_and_without_remarks() {
        let named =
            references("a.rs::one, two (x, y; (z)); unit: tcp/b.rs::three; host-tap/src/c.rs::four").expect("four");
        let named: Vec<(&str, &str)> = named.iter().map(|(f, n)| (f.as_str(), n.as_str())).collect();
        let a = "tests/sim/tests/a.rs";
        assert_eq!(named, [(a, "one"), (a, "two"), ("stack/src/tcp/b.rs", "three"), ("host-tap/src/c.rs", "four")]);
        for wrong in ["", "one", "a.rs", "a.rs::", "a.rs::one and two", "a.rs::one (", "a.rs::one)", "a.rs::one,"] {
            assert!(references(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_table_of_tests_that_exist_is_right() {
        assert_eq!(wrong_in_hardening(&hardening("a.rs::two; unit tcp/b.rs::three")), [""; 0]);
        assert_eq!(wrong_in_requirements(&requirements("a.rs::one", "")), [""; 0]);
        assert_eq!(wrong_in_requirements(&requirements("Superseded: by another RFC", "")), [""; 0]);
    }

    #[test]
    fn a_test_or_file_that_does_not_exist_is_an_error() {
        assert_eq!(wrong_in_hardening(&hardening("a.rs::twо")).len(), 1, "a Cyrillic letter");
        let wrong = wrong_in_hardening(&hardening("a.rs::one, three"));
        assert_eq!(wrong, ["HARDENING.md: H001: tests/sim/tests/a.rs has no test three"]);
        let wrong = wrong_in_hardening(&hardening("c.rs::one"));
        assert_eq!(wrong, ["HARDENING.md: H001: there is no file tests/sim/tests/c.rs"]);
        assert_eq!(wrong_in_requirements(&requirements("unit tcp/b.rs::one", "")).len(), 119);
        assert_eq!(wrong_in_requirements(&requirements("Because", "")).len(), 119);
    }

    #[test]
    fn every_case_has_one_row_or_a_word_at_the_end() {
        let good = hardening("a.rs::one");
        let wrong = wrong_in_hardening(&good.replace("H002-", "H003-"));
        assert_eq!(wrong, ["HARDENING.md: H002 has neither a row nor a word at the end"]);
        let wrong = wrong_in_hardening(&good.replace("H172", "H001"));
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        let twice = good.replace("| H001", "| H001 | a.rs::one |\n| H001");
        assert_eq!(wrong_in_hardening(&twice), ["HARDENING.md: H001 has two rows"]);
        let unknown = good.replace("| H001", "| H173 | a.rs::one |\n| H001");
        assert_eq!(wrong_in_hardening(&unknown), ["HARDENING.md: there is no case `H173`"]);
    }

    #[test]
    fn every_requirement_has_one_row() {
        assert_eq!(
            wrong_in_requirements(&requirements("a.rs::one", "SHLD-31")),
            ["REQUIREMENTS.md: SHLD-31 has no row"]
        );
        let good = requirements("a.rs::one", "");
        let wrong =
            wrong_in_requirements(&format!("{good}| MAY-7 | do it | a.rs::one |\n| MUST-70 | do it | a.rs::one |\n"));
        assert_eq!(wrong, ["REQUIREMENTS.md: MAY-7 has two rows", "REQUIREMENTS.md: RFC 9293 has no MUST-70"]);
        assert_eq!(wrong_in_requirements(&format!("{good}| L1 | | a.rs::one |\n")).len(), 1);
        assert_eq!(wrong_in_requirements(&format!("{good}| L1 | a.rs::one |\n")).len(), 1);
    }
}
