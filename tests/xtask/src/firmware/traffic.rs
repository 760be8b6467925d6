//! What the kernel says to a board, and what it must hear.

use crate::report::{Outcome, capture};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

/// The board's address.
pub const BOARD: &str = "10.7.0.2";

/// Long enough for whatever is not stuck, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(120);

/// How long an answer is waited for before the question, which may be lost, is asked again.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often.
const TRIES: usize = 10;

/// The largest payload of an echo request, or of a datagram, in one packet of an Ethernet.
const LARGEST: usize = 1472;

/// One echo request with so many octets.
pub fn ping(octets: usize) -> Result<(), String> {
    // It ends with the first answer, and asks again meanwhile.
    capture(Command::new("ping").args(["-n", "-c", "1", "-w", "20", "-s", &octets.to_string(), BOARD])).map(drop)
}

/// One hundred of them, of every size.
pub fn pings() -> Outcome {
    for n in 0..100 {
        ping(n * LARGEST / 99)?;
    }
    Ok("100 pings".into())
}

/// The neighbour that the kernel has found by ARP.
pub fn neighbour() -> Outcome {
    let text = capture(Command::new("ip").args(["neigh", "show", BOARD]))?;
    let mac = text.split("lladdr ").nth(1).and_then(|rest| rest.split(' ').next());
    mac.map(|mac| format!("ARP {mac}")).ok_or_else(|| format!("no neighbour: {text}"))
}

fn failure(what: &str) -> impl Fn(std::io::Error) -> String + use<> {
    let what = what.to_owned();
    move |e| format!("{what}: {e}")
}

/// Octets without a period.
fn octets(len: usize, seed: u32) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9) | 1;
    let next = |_| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        (x >> 24) as u8
    };
    (0..len).map(next).collect()
}

/// Datagrams of every size come back unchanged.
pub fn udp_echo() -> Outcome {
    let failure = failure("UDP echo");
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(&failure)?;
    socket.connect((BOARD, 7)).map_err(&failure)?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(&failure)?;
    let sizes = [0, 1, 2, 3, 17, 18, 19, 100, 511, 512, 513, 1000, LARGEST - 1, LARGEST];
    for (n, len) in sizes.into_iter().enumerate() {
        let text = octets(len, n as u32 + 1);
        let mut back = [0; 2048];
        let mut came = false;
        for _ in 0..TRIES {
            socket.send(&text).map_err(&failure)?;
            // An answer to an earlier question is passed over.
            while let Ok(got) = socket.recv(&mut back) {
                came = back[..got] == text;
                if came || got == len {
                    break;
                }
            }
            if came {
                break;
            }
        }
        if !came {
            return Err(format!("UDP echo: {len} octets did not come back"));
        }
    }
    Ok(format!("{} datagrams", sizes.len()))
}

/// A connection to a port of the board's.
fn connect(port: u16) -> std::io::Result<TcpStream> {
    let address = (BOARD, port).to_socket_addrs()?.next().ok_or(std::io::ErrorKind::NotFound)?;
    let stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

/// So many octets go out on a connection and come back unchanged, and then the end.
pub fn tcp_echo(len: usize) -> Outcome {
    let failure = failure("TCP echo");
    let text = octets(len, 7);
    let stream = connect(7).map_err(&failure)?;
    let mut back = Vec::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (&stream).write_all(&text).and_then(|()| stream.shutdown(Shutdown::Write)));
        let read = (&stream).read_to_end(&mut back);
        writer.join().map_err(|_| std::io::Error::other("the writer panicked")).flatten().and(read)
    })
    .map_err(&failure)?;
    if back != text {
        let place = back.iter().zip(&text).position(|(a, b)| a != b);
        return Err(format!("TCP echo: {} of {len} octets came back, the first wrong one at {place:?}", back.len()));
    }
    Ok(format!("{len} octets by TCP"))
}

/// Fifty connections, eight at a time: twice as many as the boards have room for, so that most wait for their turn.
pub fn connections() -> Outcome {
    const COUNT: u32 = 50;
    const AT_ONCE: u32 = 8;
    let one = |n: u32| -> Result<(), String> {
        let failure = failure(&format!("connection {n} of {COUNT}"));
        let text = octets(300, n);
        let mut stream = connect(7).map_err(&failure)?;
        stream.write_all(&text).map_err(&failure)?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).map_err(&failure)?;
        if back == text { Ok(()) } else { Err(format!("connection {n} of {COUNT}: changed text")) }
    };
    std::thread::scope(|scope| {
        let client = |first| (first..COUNT).step_by(AT_ONCE as usize).try_for_each(one);
        let clients: Vec<_> = (0..AT_ONCE).map(|first| scope.spawn(move || client(first))).collect();
        clients.into_iter().try_for_each(|c| c.join().map_err(|_| "a client panicked".to_owned())?)
    })?;
    Ok(format!("{COUNT} connections"))
}

/// Many more packets than the board can take, while it does not look.
pub fn flood(control: (&str, u16)) -> Outcome {
    const DATAGRAMS: usize = 2_000;
    let failure = failure("flood");
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(&failure)?;
    let mut sent = 0;
    for _ in 0..5 {
        socket.send_to(b"stall", control).map_err(&failure)?;
        for n in 0..DATAGRAMS {
            // What the tap's queue has no room for is lost here already.
            sent += usize::from(socket.send_to(&octets(n % LARGEST, 3), (BOARD, 9)).is_ok());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(format!("a flood of {sent} datagrams"))
}

/// An answer to a request, whole.
fn request(text: &str) -> Outcome {
    let failure = failure("HTTP");
    let mut stream = connect(80).map_err(&failure)?;
    stream.write_all(text.as_bytes()).map_err(&failure)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(&failure)?;
    Ok(answer)
}

/// The status page, and what there is not.
pub fn http() -> Outcome {
    for round in 0..3 {
        let page = request("GET / HTTP/1.1\r\nHost: board\r\n\r\n")?;
        let length = page.split("Content-Length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let body = page.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let whole = length == Some(body.len().to_string().as_str());
        if !page.starts_with("HTTP/1.1 200 OK\r\n") || !whole || !body.contains("frames received ") {
            return Err(format!("round {round}: {page}"));
        }
    }
    for (text, status) in [("GET /else HTTP/1.1\r\n\r\n", "404"), ("POST / HTTP/1.1\r\n\r\n", "405")] {
        let answer = request(text)?;
        if answer.split(' ').nth(1) != Some(status) {
            return Err(format!("{text:?} was answered {answer:?}"));
        }
    }
    Ok("status page".into())
}

/// A sink that takes, and a source that gives, what was agreed.
pub fn throughput() -> Outcome {
    const LEN: usize = 1 << 20;
    let failure = failure("throughput");
    let begun = Instant::now();
    let mut stream = connect(5001).map_err(&failure)?;
    stream.write_all(&octets(LEN, 5)).map_err(&failure)?;
    stream.shutdown(Shutdown::Write).map_err(&failure)?;
    // The sink closes when it has read all.
    stream.read_to_end(&mut Vec::new()).map_err(&failure)?;
    let sunk = begun.elapsed();
    let begun = Instant::now();
    let mut text = vec![0; LEN];
    connect(5002).map_err(&failure)?.read_exact(&mut text).map_err(&failure)?;
    let given = begun.elapsed();
    let pattern = |at: usize| match at % 74 {
        72 => b'\r',
        73 => b'\n',
        column => b' ' + ((at / 74 + column) % 95) as u8,
    };
    if let Some(place) = text.iter().enumerate().position(|(at, octet)| *octet != pattern(at)) {
        return Err(format!("the source's pattern is broken at {place}"));
    }
    let rate = |time: Duration| LEN as f64 * 8e-6 / time.as_secs_f64();
    Ok(format!("{:.0} Mbit/s in, {:.0} Mbit/s out", rate(sunk), rate(given)))
}
