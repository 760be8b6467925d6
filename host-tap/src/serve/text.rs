//! What the services say: the time, and patterns.

use std::time::{SystemTime, UNIX_EPOCH};

/// A line with the time, in UTC (RFC 867 leaves the form open).
pub fn daytime() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let (h, m, s) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC\r\n")
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years from 1 March on, so that the leap day comes last; eras of 400 years are all alike.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, date)
}

/// Characters per line of the chargen pattern, without CR LF.
const WIDTH: u64 = 72;

/// The printable characters, which each line begins one further in.
const PRINTABLE: u64 = 95;

/// Fills `room` with the pattern of RFC 864 §2 from position `at` on.
pub fn chargen(at: u64, room: &mut [u8]) {
    let (mut line, mut column) = (at / (WIDTH + 2) % PRINTABLE, at % (WIDTH + 2));
    for octet in room {
        *octet = match column {
            c if c < WIDTH => b' ' + ((line + c) % PRINTABLE) as u8,
            WIDTH => b'\r',
            _ => b'\n',
        };
        column += 1;
        if column == WIDTH + 2 {
            (line, column) = ((line + 1) % PRINTABLE, 0);
        }
    }
}

/// Fills `room` with the test pattern of HTTP's `/bytes/N` from position `at` on: each octet is its position modulo 251,
/// a prime, so that no power of two hides a displacement.
pub fn pattern(at: u64, room: &mut [u8]) {
    let mut value = (at % 251) as u8;
    for octet in room {
        *octet = value;
        value = if value == 250 { 0 } else { value + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_723, (2024, 1, 1)),
            (20_454, (2026, 1, 1)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(civil(days), date);
        }
        let line = daytime();
        assert!(line.len() == 25 && line.ends_with(" UTC\r\n"), "{line}");
    }

    #[test]
    fn patterns_go_on_where_they_were_cut() {
        for fill in [chargen, pattern] {
            let mut whole = vec![0; 20_000];
            fill(0, &mut whole);
            let mut parts = Vec::new();
            while parts.len() < whole.len() {
                let mut part = vec![0; (parts.len() % 613 + 1).min(whole.len() - parts.len())];
                fill(parts.len() as u64, &mut part);
                parts.extend(part);
            }
            assert!(parts == whole);
        }
        let mut lines = [0; 74 * 96];
        chargen(0, &mut lines);
        assert_eq!(&lines[..6], b" !\"#$%");
        assert_eq!(&lines[72..77], b"\r\n!\"#");
        assert_eq!(lines[74 * 95..], lines[..74]);
    }
}
