//! What programs may need: tests/budgets.toml.
//!
//! Of TOML it uses tables, strings, whole numbers and comments; anything else is refused.

use crate::cargo::root;

/// A figure's limits: more than the ceiling is a failure; the bar, where there is one, is what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limit {
    pub ceiling: Option<u64>,
    pub bar: Option<u64>,
}

/// One program in one configuration.
#[derive(Debug, Default, PartialEq)]
pub struct Budget {
    /// The table's name.
    pub name: String,
    /// The board's folder, or the program's own where it is for none.
    pub board: String,
    pub program: String,
    /// Features in place of the default ones.
    pub features: Option<String>,
    /// Whether `cargo xtask test` looks at it.
    pub quick: bool,
    limits: Vec<(String, Limit)>,
}

/// What can be limited, in the order in which it is shown: octets, and instructions per segment.
pub const FIGURES: [&str; 6] = ["flash", "data", "ram", "stack", "sent", "received"];

impl Budget {
    /// The limits of a figure.
    pub fn limit(&self, figure: &str) -> Limit {
        self.limits.iter().find(|(name, _)| name == figure).map_or(Limit::default(), |(_, limit)| *limit)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let text = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
        let number = value.replace('_', "").parse::<u64>();
        match (key, text) {
            ("board", Some(text)) => self.board = text.into(),
            ("program", Some(text)) => self.program = text.into(),
            ("features", Some(text)) => self.features = Some(text.into()),
            ("quick", None) if value == "true" => self.quick = true,
            _ => {
                let (figure, is_bar) = key.strip_suffix("-bar").map_or((key, false), |figure| (figure, true));
                let (true, Ok(number)) = (FIGURES.contains(&figure), number) else {
                    return Err(format!("cannot read `{key} = {value}`"));
                };
                if !self.limits.iter().any(|(name, _)| name == figure) {
                    self.limits.push((figure.into(), Limit::default()));
                }
                let limit = self.limits.iter_mut().find(|(name, _)| name == figure).map(|(_, limit)| limit);
                let Some(limit) = limit else { return Ok(()) };
                let place = if is_bar { &mut limit.bar } else { &mut limit.ceiling };
                if place.replace(number).is_some() {
                    return Err(format!("`{key}` twice"));
                }
            }
        }
        Ok(())
    }
}

/// All of them.
pub fn read() -> Result<Vec<Budget>, String> {
    let file = root().join("tests/budgets.toml");
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    parse(&text).map_err(|e| format!("{}: {e}", file.display()))
}

fn parse(text: &str) -> Result<Vec<Budget>, String> {
    let mut budgets: Vec<Budget> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let at = |e: String| format!("line {}: {e}", number + 1);
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            if budgets.iter().any(|b| b.name == name) {
                return Err(at(format!("[{name}] twice")));
            }
            budgets.push(Budget { name: name.into(), ..Budget::default() });
        } else if !line.is_empty() {
            let (key, value) = line.split_once('=').ok_or_else(|| at(format!("cannot read `{line}`")))?;
            let budget = budgets.last_mut().ok_or_else(|| at("no table yet".into()))?;
            budget.set(key.trim(), value.trim()).map_err(at)?;
        }
    }
    match budgets.iter().find(|b| b.board.is_empty() || b.program.is_empty() || b.limits.is_empty()) {
        Some(b) => Err(format!("[{}] needs `board`, `program` and a limit", b.name)),
        None => Ok(budgets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_with_ceilings_and_bars() {
        let text = "# x\n[a]\nboard = \"b\" # y\nprogram = \"p\"\nfeatures = \"\"\nquick = true\nflash = 1_000\nflash-bar = 900\nram-bar = 5";
        let [budget] = &parse(text).expect("good")[..] else { panic!("one budget") };
        assert_eq!((budget.name.as_str(), budget.board.as_str(), budget.program.as_str()), ("a", "b", "p"));
        assert_eq!((budget.features.as_deref(), budget.quick), (Some(""), true));
        assert_eq!(budget.limit("flash"), Limit { ceiling: Some(1000), bar: Some(900) });
        assert_eq!(budget.limit("ram"), Limit { ceiling: None, bar: Some(5) });
        assert_eq!(budget.limit("stack"), Limit::default());
    }

    #[test]
    fn what_is_no_budget_is_refused() {
        let good = "[a]\nboard = \"b\"\nprogram = \"p\"\nflash = 1";
        assert!(parse(good).is_ok());
        for bad in ["flash = 2", "flush = 1", "ram = big", "ram = \"1\"", "quick = maybe", "what", "[a]", "[c]"] {
            assert!(parse(&format!("{good}\n{bad}")).is_err(), "{bad}");
        }
        assert!(parse("flash = 1").is_err());
    }

    #[test]
    fn the_project_s_budgets_can_be_read() {
        assert!(read().expect("tests/budgets.toml").iter().any(|b| b.quick));
    }
}
