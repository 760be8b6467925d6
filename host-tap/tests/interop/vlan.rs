//! VLANs: a stack on a VLAN of a trunk, at whose other end a switch of this test's own takes tags off for the kernel.

use crate::world::{
    LIMIT, PROGRAM, expect_echo, in_own_namespace, octets, run, text_of, tool, wait_until, with_limits,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

/// A switch: frames of the kernel's tap go to the trunk with a tag, and the trunk's frames of that VLAN to the kernel.
struct Switch {
    /// The tag that the kernel's frames get.
    control: AtomicU16,
    /// Frames from the trunk that had another tag than that of VLAN 10, or none.
    others: AtomicU64,
}

/// Opens a tap as any program would: without the crate under test.
fn tap(name: &str) -> std::fs::File {
    let file = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").expect("/dev/net/tun");
    let flags =
        ringtap_host::sys::interface::TunFlags { tap: true, packet_info: false, multi_queue: false, header: false };
    ringtap_host::sys::interface::tun_attach(file.as_fd(), name, flags).expect("a tap");
    file
}

/// Starts the switch between the tap `k0` and the trunk, whose sockets are these.
fn switch(here: &Path, there: PathBuf) -> Arc<Switch> {
    let tap = tap("k0");
    let trunk = UnixDatagram::bind(here).expect("a socket");
    let switch = Arc::new(Switch { control: AtomicU16::new(5 << 13 | 10), others: AtomicU64::new(0) });
    let (mut to_kernel, mut from_kernel) = (tap.try_clone().expect("a descriptor"), tap);
    let (receive, send) = (trunk.try_clone().expect("a descriptor"), trunk);
    let shared = Arc::clone(&switch);
    std::thread::spawn(move || {
        let mut buf = [0; 2000];
        while let Ok(n) = receive.recv(&mut buf) {
            if n > 18 && buf[12..14] == [0x81, 0] && u16::from_be_bytes([buf[14], buf[15]]) & 0xfff == 10 {
                buf.copy_within(..12, 4);
                let _ = to_kernel.write(&buf[4..n]);
            } else {
                shared.others.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let shared = Arc::clone(&switch);
    std::thread::spawn(move || {
        let mut buf = [0; 2000];
        while let Ok(n) = from_kernel.read(&mut buf[4..]) {
            buf.copy_within(4..16, 0);
            buf[12..14].copy_from_slice(&[0x81, 0]);
            buf[14..16].copy_from_slice(&shared.control.load(Ordering::Relaxed).to_be_bytes());
            // Nobody may be there yet.
            let _ = send.send_to(&buf[..n + 4], &there);
        }
    });
    switch
}

fn is_answered(address: &str, size: &str) -> bool {
    run(tool("ping", "iputils-ping").args(["-n", "-c", "1", "-W", "3", "-s", size, address]), b"").status.success()
}

#[test]
fn a_stack_on_a_vlan_speaks_with_the_kernel_through_a_switch_and_hears_no_other_vlan() {
    in_own_namespace(
        concat!(module_path!(), "::a_stack_on_a_vlan_speaks_with_the_kernel_through_a_switch_and_hears_no_other_vlan"),
        || {
            let path = |what: &str| std::env::temp_dir().join(format!("ringtap-vlan-{}-{what}", std::process::id()));
            let (ours, theirs, capture) = (path("stack"), path("switch"), path("pcapng"));
            let switch = switch(&theirs, ours.clone());
            for args in ["addr add 10.7.0.1/24 dev k0", "-6 addr add fd07::1/64 dev k0 nodad", "link set k0 up"] {
                text_of(tool("ip", "iproute2").args(args.split(' ')), b"");
            }
            let pair = format!("{},{}", ours.display(), theirs.display());
            let mut command = Command::new(PROGRAM);
            command.args(["serve", "--unix-dgram", &pair, "--vlan", "10", "--pcap"]).arg(&capture);
            let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
            let mut out = BufReader::new(child.stdout.take().expect("its stdout"));
            let mut ready = String::new();
            out.read_line(&mut ready).expect("a line");
            assert!(ready.starts_with("ready "), "{ready}");
            wait_until("the trial of the address is over", || is_answered("fd07::2", "56"));
            for (address, size) in [("10.7.0.2", "0"), ("10.7.0.2", "1472"), ("10.7.0.2", "5000"), ("fd07::2", "1452")]
            {
                assert!(is_answered(address, size), "{address} {size}");
            }
            for address in ["10.7.0.2", "fd07::2"] {
                let address: IpAddr = address.parse().expect("an address");
                let stream = TcpStream::connect_timeout(&(address, 7).into(), LIMIT).expect("connected");
                expect_echo(&mut with_limits(stream), &octets(1, 100_000));
            }
            // The same packets of another VLAN, and of none but a priority, are nobody's.
            for control in [20, 3 << 13] {
                switch.control.store(control, Ordering::Relaxed);
                assert!(!is_answered("10.7.0.2", "56"), "{control:x}");
            }
            switch.control.store(10, Ordering::Relaxed);
            assert!(is_answered("10.7.0.2", "56"));
            assert_eq!(switch.others.load(Ordering::Relaxed), 0, "nothing of ours leaves without our tag");
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().is_ok_and(|s| s.success()));
            let mut words = String::new();
            out.read_to_string(&mut words).expect("its last words");
            assert!(child.wait().expect("its end").success(), "{words}");
            let unknown = words.split(" vlan ").nth(1).and_then(|n| n.trim().parse::<u64>().ok());
            assert!(unknown >= Some(2), "{words}");
            let found = |filter: &str| {
                let mut tshark = tool("tshark", "tshark");
                tshark.arg("-r").arg(&capture).args(["-Y", filter, "-T", "fields", "-e", "vlan.id"]);
                text_of(&mut tshark, b"").lines().count()
            };
            assert!(found("frame.packet_flags_direction == 2 && tcp && vlan.id == 10") > 50);
            assert_eq!(found("frame.packet_flags_direction == 2 && (!vlan || vlan.id != 10 || _ws.malformed)"), 0);
            for file in [ours, theirs, capture] {
                let _ = std::fs::remove_file(file);
            }
        },
    );
}
