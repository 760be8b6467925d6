//! The command line: commands, options, and what is wrong with them, in one line each.

use crate::{browse, ctl, demo, doctor, get, nc, ping, router, serve, traceroute};
use clap::{Args, Parser, Subcommand};
use ringtap::device::Mac;
use ringtap::ip::addr::Cidr;
use ringtap::vlan::VlanId;
use ringtap_host::attach::{Attachment, Carrier, Wanted};
use ringtap_host::failure::Failure;
use ringtap_host::runtime::Runtime;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

/// Commands that come with later versions; scripts get a clear answer meanwhile.
const LATER: &[&str] =
    &["shell", "capture", "inject", "answer", "raw", "udprecv", "mcast", "dev", "bench", "bridge", "tunnel", "top"];

/// How long a DHCP server may take: four questions, 4 + 8 + 16 seconds between them.
pub const LEASE_WAIT: std::time::Duration = std::time::Duration::from_secs(32);

/// A TCP/IP stack in user space, on a Linux tap, tun or UNIX socket.
#[derive(Debug, Parser)]
#[command(name = "ringtap", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
struct Cli {
    /// Without a command: `demo`.
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    demo: DemoArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the stack at work against this machine's kernel, in a private namespace: no root, no set-up.
    Demo(DemoArgs),
    /// Attaches to a tap or tun and serves echo, discard, daytime, chargen and HTTP.
    Serve(ServeArgs),
    /// Passes packets on between taps (or tuns), and serves on each of them.
    Router(router::RouterArgs),
    /// Talks to a running `serve` or `router`.
    Ctl(CtlArgs),
    /// Pings a host from the stack.
    Ping(PingArgs),
    /// Names the routers on the way to a host.
    Traceroute(TracerouteArgs),
    /// Carries stdin and stdout over a connection of the stack.
    Nc(NcArgs),
    /// Fetches a URL by the stack.
    Get(GetArgs),
    /// Tells of the services of a type that the link has (DNS-SD by multicast DNS).
    Browse(BrowseArgs),
    /// Says what will work on this machine, and how to mend what will not.
    Doctor,
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

/// `demo`.
#[derive(Debug, Default, Args)]
pub struct DemoArgs {
    /// Records all frames.
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
}

/// Which device, and who the stack is on it.
#[derive(Debug, Args)]
#[group(skip)]
pub struct DeviceArgs {
    /// The tap (or tun) to attach to; one that is not there is made.
    #[arg(long, value_name = "NAME", required_unless_present_any = ["unix", "unix_dgram"])]
    dev: Option<String>,
    /// The device is a tun: IP packets without Ethernet.
    #[arg(long, requires = "dev", conflicts_with_all = ["unix", "unix_dgram"])]
    tun: bool,
    /// Packet information in front of each frame (without IFF_NO_PI).
    #[arg(long, requires = "dev", conflicts_with_all = ["unix", "unix_dgram"])]
    packet_info: bool,
    /// A UNIX stream socket instead of a tap: connects to PATH, or listens there if nobody does.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["dev", "unix_dgram"])]
    unix: Option<PathBuf>,
    /// UNIX datagram sockets instead of a tap.
    #[arg(long, value_name = "LOCAL,REMOTE", conflicts_with = "dev")]
    unix_dgram: Option<String>,
    /// An address of the stack (default: 10.7.0.2/24 and fd07::2/64).
    #[arg(long, value_name = "CIDR")]
    addr: Vec<Cidr>,
    /// A default gateway.
    #[arg(long, value_name = "IP")]
    gateway: Vec<IpAddr>,
    /// Asks a DHCP server for an address, routes and name servers.
    #[arg(long)]
    pub dhcp: bool,
    /// Asks routers for addresses, routes and name servers (IPv6), and follows what they advertise.
    #[arg(long)]
    pub slaac: bool,
    /// With --slaac: makes temporary addresses beside the stable ones, and prefers them (RFC 8981).
    #[arg(long, requires = "slaac")]
    pub temporary: bool,
    /// With --slaac: uses addresses at once, while it is found out whether somebody has them (RFC 4429).
    #[arg(long, requires = "slaac")]
    optimistic: bool,
    /// Claims an IPv4 address of the link, 169.254.x.y (RFC 3927); with --dhcp when no server answers.
    #[arg(long)]
    pub link_local: bool,
    /// A name server, asked by the stack itself (default: those that DHCP and routers tell of, or else this machine's
    /// resolver).
    #[arg(long, value_name = "IP")]
    pub dns: Vec<IpAddr>,
    /// The stack's MAC address (default: made from its first address).
    #[arg(long)]
    mac: Option<Mac>,
    /// The IP MTU (default: the device's).
    #[arg(long, value_name = "N")]
    mtu: Option<usize>,
    /// The VLAN of the tap that the stack is on (IEEE 802.1Q, 1 to 4094).
    #[arg(long, value_name = "ID", conflicts_with_all = ["tun", "unix"], value_parser = vlan_id)]
    vlan: Option<VlanId>,
    /// Whole checksums and no super-segments, whatever the device could do.
    #[arg(long)]
    no_offload: bool,
    /// Records all frames.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

impl DeviceArgs {
    /// A stack on the device, with an address.
    pub fn start(self) -> Result<Runtime, Failure> {
        let Wanted { dhcp, slaac, link_local, .. } = self.wanted();
        let runtime = Runtime::start(self.attachment()?.open()?)?;
        if link_local {
            runtime.wait_for_address(LEASE_WAIT)?;
        } else if dhcp {
            runtime.wait_for_lease(LEASE_WAIT)?;
        }
        if slaac {
            runtime.wait_for_routers(LEASE_WAIT)?;
        }
        Ok(runtime)
    }

    /// What the stack is to find out by itself.
    pub const fn wanted(&self) -> Wanted {
        let Self { dhcp, slaac, temporary, optimistic, link_local, .. } = *self;
        Wanted { dhcp, slaac, temporary, optimistic, link_local }
    }

    /// What the options describe.
    pub fn attachment(self) -> Result<Attachment, Failure> {
        let automatic = self.wanted();
        let carrier = match (self.dev, self.unix, self.unix_dgram) {
            (Some(name), ..) if self.tun => Carrier::Tun(name),
            (Some(name), ..) => Carrier::Tap(name),
            (_, Some(path), _) => Carrier::Stream(path),
            (.., Some(pair)) => match pair.split_once(',') {
                Some((local, remote)) if !local.is_empty() && !remote.is_empty() => {
                    Carrier::Datagram(local.into(), remote.into())
                }
                _ => return Err(Failure::usage("--unix-dgram takes two paths with a comma between them")),
            },
            (None, None, None) => return Err(Failure::usage("no device").remedy("add --dev NAME")),
        };
        Ok(Attachment {
            packet_info: self.packet_info,
            offload: !self.no_offload,
            addresses: self.addr,
            gateways: self.gateway,
            mac: self.mac,
            mtu: self.mtu,
            automatic,
            dns: self.dns,
            pcap: self.pcap,
            vlan: self.vlan,
            ..Attachment::new(carrier)
        })
    }
}

/// `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// A UNIX socket for `ringtap ctl`.
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// A multicast group to join.
    #[arg(long, value_name = "GROUP")]
    pub join: Vec<IpAddr>,
    /// Answers for all addresses under this prefix, as if each were the stack's own (ARP, neighbour discovery, every service).
    #[arg(long, value_name = "CIDR")]
    pub any: Vec<Cidr>,
    /// Gives these addresses (at most 16) to the others on the link by DHCP.
    #[arg(long, value_name = "FIRST-LAST", conflicts_with = "dhcp", value_parser = address_range)]
    pub dhcp_server: Option<(Ipv4Addr, u8)>,
    /// Claims NAME.local by multicast DNS, and tells of the HTTP server there (RFC 6762, 6763).
    #[arg(long, value_name = "NAME")]
    pub mdns: Option<String>,
}

/// `ctl`.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The socket given to `serve --control`.
    pub path: PathBuf,
    #[command(subcommand)]
    pub command: CtlCommand,
}

#[derive(Debug, Subcommand)]
pub enum CtlCommand {
    /// Lets the stack open a TCP connection, on which it echoes.
    Connect {
        /// Name or address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Joins a multicast group.
    Join {
        /// The group's address.
        group: IpAddr,
    },
    /// Leaves a multicast group.
    Leave {
        /// The group's address.
        group: IpAddr,
    },
    /// Counters.
    Stats(Format),
    /// Open sockets.
    Sockets(Format),
    /// Routes, as `netstat -rn` prints them.
    Routes(Format),
    /// Interfaces and what has passed by them, as `netstat -ni` prints them.
    Interfaces(Format),
    /// Adds or removes a route.
    Route {
        /// What to do.
        verb: RouteVerb,
        /// Destinations (192.0.2.0/24), one address, or `default`.
        prefix: String,
        /// The router; without one, the destinations are on the link.
        #[arg(long, value_name = "IP")]
        gateway: Option<IpAddr>,
        /// The interface, by its name (default: the one whose network the gateway is in, else the first).
        #[arg(long, value_name = "NAME")]
        dev: Option<String>,
        /// Among routes to the same destinations the lowest wins.
        #[arg(long, default_value_t = 0)]
        metric: u16,
        /// The destinations cannot be reached.
        #[arg(long, conflicts_with_all = ["gateway", "dev", "reject"])]
        blackhole: bool,
        /// As --blackhole, marked as refused.
        #[arg(long, conflicts_with_all = ["gateway", "dev"])]
        reject: bool,
    },
    /// Neighbours.
    Neighbours(Format),
    /// Records the frames that come and go, as pcapng, until Ctrl-C.
    Capture(CaptureArgs),
}

/// `ctl capture`.
#[derive(Debug, Args)]
pub struct CaptureArgs {
    /// Where to; `-` is stdout.
    pub file: PathBuf,
    /// One interface's only, by its name.
    #[arg(long, value_name = "NAME")]
    pub dev: Option<String>,
    /// Octets of each frame, at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub snap: Option<u32>,
    /// Ends after this many frames.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Ends after this many seconds.
    #[arg(long, value_name = "N")]
    pub seconds: Option<u32>,
    /// Of this protocol: arp, icmp, icmp6, tcp, udp or an IP protocol's number.
    #[arg(long, value_name = "NAME")]
    pub proto: Option<String>,
    /// From or to this address.
    #[arg(long, value_name = "IP")]
    pub host: Option<IpAddr>,
    /// From or to this TCP or UDP port.
    #[arg(long, value_name = "N")]
    pub port: Option<u16>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum RouteVerb {
    /// Adds it.
    Add,
    /// Removes it; the metric does not matter.
    Del,
}

#[derive(Clone, Copy, Debug, Args)]
pub struct Format {
    /// JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// `ping`.
#[derive(Debug, Args)]
pub struct PingArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Name or address.
    pub host: String,
    /// How many requests; for ever if 0.
    #[arg(short = 'c', long, default_value_t = 4)]
    pub count: u64,
    /// Seconds between requests.
    #[arg(short = 'i', long, default_value_t = 1.0)]
    pub interval: f64,
    /// Payload octets.
    #[arg(short = 's', long, default_value_t = 56)]
    pub size: usize,
    /// Hop limit.
    #[arg(short = 't', long)]
    pub ttl: Option<u8>,
    #[command(flatten)]
    pub family: Family,
}

/// Which addresses of a name are wanted.
#[derive(Clone, Copy, Debug, Args)]
pub struct Family {
    /// IPv4 addresses only.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    /// IPv6 addresses only.
    #[arg(short = '6', long)]
    ipv6: bool,
}

impl Family {
    /// `Some(true)`: IPv6; `None`: either.
    pub const fn wanted(self) -> Option<bool> {
        match (self.ipv4, self.ipv6) {
            (true, _) => Some(false),
            (_, true) => Some(true),
            _ => None,
        }
    }
}

/// `traceroute`.
#[derive(Debug, Args)]
pub struct TracerouteArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Name or address.
    pub host: String,
    /// The longest way that is tried, in hops.
    #[arg(short = 'm', long, default_value_t = 30)]
    pub max_hops: u8,
    /// Probes for each hop.
    #[arg(short = 'q', long, default_value_t = 3)]
    pub probes: u8,
    /// Seconds to wait for an answer.
    #[arg(short = 'w', long, default_value_t = 2.0)]
    pub wait: f64,
    #[command(flatten)]
    pub family: Family,
}

/// `nc`.
#[derive(Debug, Args)]
pub struct NcArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// UDP instead of TCP: each read of stdin is a datagram.
    #[arg(short = 'u', long)]
    pub udp: bool,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    #[command(flatten)]
    pub family: Family,
}

/// `get`.
#[derive(Debug, Args)]
pub struct GetArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// `http://HOST[:PORT]/PATH`
    pub url: String,
    #[command(flatten)]
    pub family: Family,
}

/// `browse`.
#[derive(Debug, Args)]
pub struct BrowseArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// The type: `_http._tcp`.
    #[arg(value_name = "TYPE")]
    pub kind: String,
    /// Seconds to look for; for ever if 0.
    #[arg(short = 't', long, default_value_t = 5)]
    pub time: u64,
}

/// A VLAN's number.
fn vlan_id(text: &str) -> Result<VlanId, String> {
    text.parse().ok().and_then(VlanId::new).ok_or_else(|| "a VLAN is a number from 1 to 4094".to_string())
}

/// `10.7.0.100-10.7.0.107`: the first address and how many.
fn address_range(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let bad = || "give two addresses like 10.7.0.100-10.7.0.107".to_string();
    let (first, last) = text.split_once('-').ok_or_else(bad)?;
    let (first, last): (Ipv4Addr, Ipv4Addr) = (first.parse().map_err(|_| bad())?, last.parse().map_err(|_| bad())?);
    let more = last.to_bits().checked_sub(first.to_bits()).ok_or_else(bad)?;
    u8::try_from(more)
        .ok()
        .filter(|&more| more < 16)
        .map(|more| (first, more + 1))
        .ok_or_else(|| "at most 16 addresses can be given".to_string())
}

/// Parses the command line and runs the command.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<ExitCode, Failure> {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match cli.command.unwrap_or(Command::Demo(cli.demo)) {
        Command::Demo(args) => demo::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Router(args) => router::run(args),
        Command::Ctl(args) => ctl::run(args),
        Command::Ping(args) => ping::run(args),
        Command::Traceroute(args) => traceroute::run(args),
        Command::Nc(args) => nc::run(args),
        Command::Get(args) => get::run(args),
        Command::Browse(args) => browse::run(args),
        Command::Doctor => Ok(doctor::run()),
        Command::Other(words) => Err(other(&words)),
    }
}

/// Help is printed as it is; anything else becomes one line.
fn usage(error: &clap::Error) -> Result<ExitCode, Failure> {
    if !error.use_stderr() {
        print!("{error}");
        return Ok(ExitCode::SUCCESS);
    }
    if error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Err(Failure::usage("something is missing").remedy("see --help after the command"));
    }
    let text = error.to_string();
    // Its message ends where the usage begins.
    let what = text.split("\n\nUsage:").next().unwrap_or(&text);
    let what = what.split("\n\nFor more").next().unwrap_or(what).trim_start_matches("error: ");
    Err(Failure::usage(what).remedy("see ringtap --help, or --help after the command"))
}

fn other(words: &[OsString]) -> Failure {
    let name = words.first().map(|w| w.to_string_lossy().into_owned()).unwrap_or_default();
    if LATER.contains(&name.as_str()) {
        return Failure::not_built_yet(&format!("ringtap {name}"));
    }
    Failure::usage(format!("no such command: {name}")).remedy("see ringtap --help")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, Failure> {
        Cli::try_parse_from(line.split(' ')).map_err(|e| usage(&e).expect_err("wrong usage"))
    }

    fn attachment(options: &str) -> Result<Attachment, Failure> {
        let cli = parse(&format!("ringtap serve {options}"))?;
        match cli.command {
            Some(Command::Serve(args)) => args.device.attachment(),
            other => panic!("not serve but {other:?}"),
        }
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn no_command_is_the_demo() {
        assert!(parse("ringtap").is_ok_and(|c| c.command.is_none()));
        assert!(parse("ringtap --pcap f").is_ok_and(|c| c.demo.pcap.is_some()));
        assert!(matches!(
            parse("ringtap demo --pcap f").map(|c| c.command),
            Ok(Some(Command::Demo(DemoArgs { pcap: Some(_) })))
        ));
    }

    #[test]
    fn device_options_describe_every_kind_of_device() {
        let tap = attachment("--dev tap0 --addr 10.1.2.3/16 --addr 10.1.2.4/16 --gateway 10.1.0.1 --mtu 1400");
        let tap = tap.expect("right usage");
        assert!(matches!(tap.carrier, Carrier::Tap(ref name) if name == "tap0"));
        assert_eq!((tap.addresses.len(), tap.gateways.len(), tap.mtu), (2, 1, Some(1_400)));
        assert!(matches!(attachment("--dev t --tun").map(|a| a.carrier), Ok(Carrier::Tun(_))));
        assert!(matches!(attachment("--unix /p").map(|a| a.carrier), Ok(Carrier::Stream(_))));
        assert!(matches!(attachment("--unix-dgram a,b").map(|a| a.carrier), Ok(Carrier::Datagram(..))));
    }

    #[test]
    fn wrong_usage_is_one_line_with_exit_code_2() {
        for line in [
            "",
            "--dev tap0 --unix /p",
            "--tun --unix /p",
            "--unix-dgram one",
            "--dev tap0 --addr 10.0.0.1",
            "--dev tap0 --addr 10.0.0.1/33",
            "--dev tap0 --mac 1:2:3",
            "--dev tap0 --mtu many",
            "--dev tap0 --dhcp-server 10.7.0.9",
            "--dev tap0 --dhcp-server 10.7.0.9-10.7.0.8",
            "--dev tap0 --dhcp-server 10.7.0.9-10.7.0.25",
            "--dev tap0 --dhcp-server 10.7.0.9-10.7.0.10 --dhcp",
            "--dev tap0 --temporary",
            "--dev tap0 --optimistic",
            "--dev tap0 --vlan 0",
            "--dev tap0 --vlan 4095",
            "--dev tap0 --vlan 5 --tun",
            "--dev tap0 --nonsense",
        ] {
            let failure = attachment(line.trim()).expect_err("wrong usage");
            assert!(failure.code() == 2 && !failure.to_string().contains('\n'), "{line}: {failure}");
        }
    }

    #[test]
    fn a_command_of_a_later_version_says_so_and_an_unknown_one_is_named() {
        for name in LATER {
            assert!(other(&[(*name).into()]).to_string().ends_with("not built yet"));
        }
        let failure = other(&["frobnicate".into()]);
        assert!(failure.to_string().contains("no such command: frobnicate") && failure.code() == 2);
        assert!(matches!(parse("ringtap bridge a b").map(|c| c.command), Ok(Some(Command::Other(_)))));
    }
}
