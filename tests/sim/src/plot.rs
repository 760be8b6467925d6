//! The course of a transfer as a picture: an SVG with congestion window, octets in flight, round trip and losses over time.

use crate::goodput::Sample;
use std::fmt::Write as _;

const WIDTH: f64 = 1000.0;
const PANEL: f64 = 220.0;
const LEFT: f64 = 80.0;
const TOP: f64 = 40.0;
const GAP: f64 = 50.0;

/// A line of a panel: its name, its colour, its values.
struct Line {
    name: &'static str,
    color: &'static str,
    value: fn(&Sample) -> f64,
}

fn kib(octets: u32) -> f64 {
    f64::from(octets) / 1024.0
}

/// The samples as an SVG with this title.
pub fn svg(title: &str, samples: &[Sample]) -> String {
    let end = samples.last().map_or(1.0, |s| s.at.as_micros() as f64 / 1e6);
    let panels: [(&str, Vec<Line>); 3] = [
        (
            "KiB",
            vec![
                Line { name: "cwnd", color: "#1f77b4", value: |s| kib(s.info.cwnd) },
                Line { name: "in flight", color: "#ff7f0e", value: |s| kib(s.info.flight) },
            ],
        ),
        (
            "ms",
            vec![Line {
                name: "smoothed round trip",
                color: "#2ca02c",
                value: |s| s.info.srtt.map_or(0.0, |t| t.as_micros() as f64 / 1e3),
            }],
        ),
        (
            "frames",
            vec![
                Line { name: "lost so far", color: "#d62728", value: |s| s.lost as f64 },
                Line { name: "sent again so far", color: "#9467bd", value: |s| f64::from(s.info.retransmits) },
            ],
        ),
    ];
    let height = TOP + panels.len() as f64 * (PANEL + GAP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{title}</text>\n",
        LEFT + WIDTH + 30.0
    );
    for (n, (unit, lines)) in panels.iter().enumerate() {
        let top = TOP + n as f64 * (PANEL + GAP);
        panel(&mut out, top, end, unit, lines, samples);
    }
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, top: f64, end: f64, unit: &str, lines: &[Line], samples: &[Sample]) {
    let values = lines.iter().flat_map(|line| samples.iter().map(|s| (line.value)(s)));
    let most = round_up(values.fold(1e-9, f64::max));
    let bottom = top + PANEL;
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{PANEL}\" fill=\"none\" stroke=\"#999\"/>"
    );
    let steps = steps(most);
    for step in 0..=steps {
        let part = f64::from(step) / f64::from(steps);
        let y = bottom - PANEL * part;
        let _ = writeln!(
            out,
            "<path d=\"M{LEFT} {y}h{WIDTH}\" stroke=\"#eee\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(most * part)
        );
    }
    for step in 0..=10 {
        let part = f64::from(step) / 10.0;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{} s</text>",
            LEFT + WIDTH * part,
            bottom + 18.0,
            short(end * part)
        );
    }
    let _ = writeln!(out, "<text x=\"8\" y=\"{}\">{unit}</text>", top + 14.0);
    for (n, line) in lines.iter().enumerate() {
        let mut path = String::new();
        for (i, sample) in samples.iter().enumerate() {
            let x = LEFT + WIDTH * sample.at.as_micros() as f64 / 1e6 / end;
            let y = bottom - PANEL * (line.value)(sample).min(most) / most;
            let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        }
        let Line { name, color, .. } = line;
        // Lines that run together are to be seen all the same: the first is a broad band beneath the others.
        let is_beneath = n == 0 && lines.len() > 1;
        let stroke = if is_beneath { "stroke-width=\"6\" stroke-opacity=\"0.45\"" } else { "stroke-width=\"1.5\"" };
        let _ = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" {stroke}/>\n\
             <text x=\"{}\" y=\"{}\" fill=\"{color}\">{name}</text>",
            LEFT + 12.0 + 190.0 * n as f64,
            top + 18.0
        );
    }
}

/// A round number not below `value`, so that the scale has short labels.
fn round_up(value: f64) -> f64 {
    let unit = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 5.0, 8.0, 10.0].into_iter().map(|m| m * unit).find(|&m| m >= value).unwrap_or(value)
}

/// Into how many parts a scale up to `most`, a round number, is divided so that their ends are round, too.
fn steps(most: f64) -> u32 {
    let first = most / 10f64.powf(most.log10().floor());
    if (first - 1.0).abs() < 1e-6 || (first - 5.0).abs() < 1e-6 { 5 } else { 4 }
}

fn short(value: f64) -> String {
    if value.fract().abs() < 1e-9 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_end_at_round_numbers() {
        for (value, round) in [(0.9, 1.0), (1.0, 1.0), (3.0, 4.0), (41.0, 50.0), (260.0, 400.0), (9_999.0, 10_000.0)] {
            assert!((round_up(value) - round).abs() < 1e-9, "{value}");
            let step = round / f64::from(steps(round)) * 10.0;
            assert!((step - step.round()).abs() < 1e-9 || round < 10.0, "{round}: {step}");
        }
    }
}
