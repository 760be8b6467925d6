//! Routes as `netstat -rn` prints them, interfaces as `netstat -ni` does.

use serde_json::Value;

fn text<'v>(row: &'v Value, field: &str) -> &'v str {
    row[field].as_str().unwrap_or("-")
}

/// Both families, each under its heading.
pub fn routes(rows: &Value) -> String {
    let mut out = String::from("Routing tables\n");
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    for (family, heading, width) in [("inet", "Internet:", 18), ("inet6", "Internet6:", 38)] {
        let rows: Vec<&Value> = rows.iter().filter(|r| r["family"] == family).collect();
        if rows.is_empty() {
            continue;
        }
        let line = |[destination, gateway, flags, netif, expire]: [&str; 5]| {
            let line = format!("{destination:width$} {gateway:width$} {flags:10} {netif:>8} {expire:>6}");
            format!("{}\n", line.trim_end())
        };
        out.push_str(&format!("\n{heading}\n{}", line(["Destination", "Gateway", "Flags", "Netif", "Expire"])));
        for row in rows {
            let link = format!("link#{}", row["iface"].as_u64().unwrap_or(0) + 1);
            let gateway = row["gateway"].as_str().unwrap_or(&link);
            let expire = row["expire"].as_u64().map(|e| e.to_string()).unwrap_or_default();
            out.push_str(&line([text(row, "destination"), gateway, text(row, "flags"), text(row, "netif"), &expire]));
        }
    }
    out
}

/// A row for each link, and one for each address; the name of an interface whose link is down has an asterisk. What passed is
/// told with octets, as by `netstat -nib`; all of it is the link's, and an address's row repeats it.
pub fn interfaces(rows: &Value) -> String {
    let headings = ["Ipkts", "Ierrs", "Idrop", "Ibytes", "Opkts", "Oerrs", "Obytes"];
    let line = |[name, mtu, network, address]: [&str; 4], counts: [String; 7]| {
        let [ipkts, ierrs, idrop, ibytes, opkts, oerrs, obytes] = counts;
        format!(
            "{name:9} {mtu:>6} {network:18} {address:24} {ipkts:>10} {ierrs:>6} {idrop:>6} {ibytes:>12} {opkts:>10} {oerrs:>6} {obytes:>12}\n"
        )
    };
    let mut out = line(["Name", "Mtu", "Network", "Address"], headings.map(str::to_string));
    for row in rows.as_array().into_iter().flatten() {
        let number = |field: &str| row[field].as_u64().unwrap_or(0).to_string();
        let name = format!("{}{}", text(row, "name"), if row["up"] == false { "*" } else { "" });
        let counts = headings.map(|heading| number(&heading.to_lowercase()));
        out.push_str(&line([&name, &number("mtu"), text(row, "network"), text(row, "address")], counts));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn families_are_under_their_headings() {
        let rows = json!([
            { "family": "inet", "destination": "default", "gateway": "10.7.0.1", "flags": "UGS", "netif": "rt0", "iface": 0 },
            { "family": "inet", "destination": "10.7.0.0/24", "gateway": null, "flags": "U", "netif": "rt0", "iface": 0 },
            { "family": "inet6", "destination": "fd07::/64", "gateway": null, "flags": "U", "netif": "rt0", "iface": 0,
              "expire": 60 },
        ]);
        let text = routes(&rows);
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["Routing", "tables"]);
        assert_eq!(lines[2..4], [vec!["Internet:"], vec!["Destination", "Gateway", "Flags", "Netif", "Expire"]]);
        assert_eq!(lines[4], ["default", "10.7.0.1", "UGS", "rt0"]);
        assert_eq!(lines[5], ["10.7.0.0/24", "link#1", "U", "rt0"]);
        assert_eq!(lines[7], ["Internet6:"]);
        assert_eq!(lines[9], ["fd07::/64", "link#1", "U", "rt0", "60"]);
    }

    #[test]
    fn an_interface_has_a_row_for_its_link_and_for_each_address() {
        let rows = json!([{ "name": "rt0", "mtu": 1500, "network": "<Link#1>", "address": "02:00:00:00:00:01",
            "ipkts": 1, "ierrs": 2, "idrop": 3, "ibytes": 4, "opkts": 5, "oerrs": 6, "obytes": 7 }]);
        let text = interfaces(&rows);
        let words: Vec<&str> = text.lines().nth(1).expect("a row").split_whitespace().collect();
        assert_eq!(words, ["rt0", "1500", "<Link#1>", "02:00:00:00:00:01", "1", "2", "3", "4", "5", "6", "7"]);
        let words: Vec<&str> = text.lines().next().expect("a heading").split_whitespace().collect();
        assert_eq!(words[4..], ["Ipkts", "Ierrs", "Idrop", "Ibytes", "Opkts", "Oerrs", "Obytes"]);
        assert!(interfaces(&json!([{ "name": "rt0", "up": false, "mtu": 1500 }])).contains("\nrt0* "));
        assert!(interfaces(&json!([{ "name": "rt0", "up": true, "mtu": 1500 }])).contains("\nrt0 "));
    }
}
