//! `ringtap ctl`: asks a running `serve`.

mod capture;
mod netstat;

use crate::cli::{CtlArgs, CtlCommand, RouteVerb};
use crate::resolve::resolve;
use ringtap_host::failure::Failure;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Longer than any answer takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks, and prints the answer.
pub fn run(args: CtlArgs) -> Result<ExitCode, Failure> {
    let (question, json) = match args.command {
        CtlCommand::Connect { host, port } => {
            let to = resolve(&host, port)?;
            (json!({ "do": "connect", "addr": to.ip().to_string(), "port": port }), false)
        }
        CtlCommand::Join { group } => (json!({ "do": "join", "group": group.to_string() }), false),
        CtlCommand::Leave { group } => (json!({ "do": "leave", "group": group.to_string() }), false),
        CtlCommand::Stats(f) => (json!({ "do": "stats" }), f.json),
        CtlCommand::Sockets(f) => (json!({ "do": "sockets" }), f.json),
        CtlCommand::Routes(f) => (json!({ "do": "routes" }), f.json),
        CtlCommand::Interfaces(f) => (json!({ "do": "interfaces" }), f.json),
        CtlCommand::Route { verb, prefix, gateway, dev, metric, blackhole, reject } => {
            let kind = if blackhole { Some("blackhole") } else { reject.then_some("reject") };
            let gateway = gateway.map(|g| g.to_string());
            let verb = if matches!(verb, RouteVerb::Add) { "add" } else { "del" };
            let question = json!({ "do": "route", "verb": verb, "prefix": prefix, "gateway": gateway, "netif": dev,
                "metric": metric, "kind": kind });
            (question, false)
        }
        CtlCommand::Capture(wanted) => return capture::run(&args.path, &wanted),
        CtlCommand::Neighbours(f) => (json!({ "do": "neighbours" }), f.json),
    };
    let answer = ask(&args.path, &question)?;
    if let Some(error) = answer["error"].as_str() {
        return Err(Failure::new(error));
    }
    let text = match question["do"].as_str() {
        _ if json => format!("{}\n", answer["ok"]),
        Some("routes") => netstat::routes(&answer["ok"]),
        Some("interfaces") => netstat::interfaces(&answer["ok"]),
        _ => as_text(&answer["ok"]),
    };
    // A closed pipe is the reader's decision.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn ask(path: &Path, question: &Value) -> Result<Value, Failure> {
    asked(path, question).map(|(answer, _)| answer)
}

/// As [`ask`]; what follows the answer can be read on.
fn asked(path: &Path, question: &Value) -> Result<(Value, BufReader<UnixStream>), Failure> {
    let failure = |e: std::io::Error| {
        Failure::io(format_args!("cannot ask at {}", path.display()), &e)
            .remedy("give the path that a running `ringtap serve --control PATH` has")
    };
    let mut stream = UnixStream::connect(path).map_err(failure)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failure)?;
    stream.write_all(format!("{question}\n").as_bytes()).map_err(failure)?;
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    reader.read_line(&mut line).map_err(failure)?;
    let answer = serde_json::from_str(&line).map_err(|_| Failure::new(format!("no answer at {}", path.display())))?;
    Ok((answer, reader))
}

/// Rows of objects as a table with a heading; an object as lines of name and value.
fn as_text(value: &Value) -> String {
    match value {
        Value::Array(rows) => table(rows),
        Value::Object(fields) => fields.iter().map(|(name, v)| format!("{name} {}\n", cell(Some(v)))).collect(),
        Value::Null => String::new(),
        other => format!("{}\n", cell(Some(other))),
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn table(rows: &[Value]) -> String {
    let mut columns: Vec<&String> = Vec::new();
    for name in rows.iter().filter_map(Value::as_object).flat_map(|row| row.keys()) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    let heading: Vec<String> = columns.iter().map(ToString::to_string).collect();
    let body = rows.iter().map(|row| columns.iter().map(|name| cell(row.get(name.as_str()))).collect());
    let lines: Vec<Vec<String>> = std::iter::once(heading).chain(body).collect();
    let width = |i: usize| lines.iter().filter_map(|l| l.get(i)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!("{c:w$}", w = *w)).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_tables_and_lists() {
        let rows = json!([{ "a": "x", "b": 10 }, { "a": "longer", "b": null, "c": 1 }]);
        assert_eq!(as_text(&rows), "a       b   c\nx       10  -\nlonger  -   1\n");
        assert_eq!(as_text(&json!({ "rx": 1, "tx": 2 })), "rx 1\ntx 2\n");
        assert_eq!(as_text(&Value::Null), "");
    }
}
