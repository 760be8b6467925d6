//! Much over one connection, in each direction and in both at once, with half-closes from each side.

use crate::world::{LIMIT, Link, PROGRAM, Serve, assert_same, connect, octets, on_tap_and_tun, output_of, with_limits};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::Command;

on_tap_and_tun!(
    fifty_megabytes_both_ways_at_once,
    fifty_megabytes_from_a_server_on_the_stack,
    a_client_on_the_stack_sends_fifty_megabytes_ends_and_then_receives_as_many,
    the_kernel_ends_first_and_still_receives_everything,
    the_stack_ends_first_and_still_takes_what_comes,
);

const BULK: usize = 50 << 20;

fn fifty_megabytes_both_ways_at_once(link: Link) {
    let serve = Serve::start(link);
    let (stream, data) = (connect(7), octets(1, BULK));
    std::thread::scope(|scope| {
        let back = scope.spawn(|| {
            let mut back = Vec::with_capacity(BULK);
            (&stream).read_to_end(&mut back).map(|_| back)
        });
        (&stream).write_all(&data).expect("written");
        stream.shutdown(Shutdown::Write).expect("ended");
        assert_same(&back.join().expect("the reader").expect("read"), &data);
    });
    assert_eq!(serve.counter("drop.tcp-checksum"), 0);
    serve.end();
}

fn fifty_megabytes_from_a_server_on_the_stack(link: Link) {
    let serve = Serve::start(link);
    let mut stream = connect(80);
    write!(stream, "GET /bytes/{BULK} HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    let want: Vec<u8> = (0..BULK).map(|i| (i % 251) as u8).collect();
    assert_same(&all[all.len() - BULK..], &want);
    serve.end();
}

fn a_client_on_the_stack_sends_fifty_megabytes_ends_and_then_receives_as_many(link: Link) {
    let listener = TcpListener::bind("0.0.0.0:4000").expect("bound");
    let (up, down) = (octets(2, BULK), octets(3, BULK));
    let answer = down.clone();
    let server = std::thread::spawn(move || {
        let mut stream = with_limits(listener.accept().expect("accepted").0);
        let mut all = Vec::with_capacity(BULK);
        // The stack's half-close ends the reading, and only that.
        stream.read_to_end(&mut all).expect("read");
        stream.write_all(&answer).expect("written");
        all
    });
    let mut nc = Command::new(PROGRAM);
    let got = output_of(nc.arg("nc").args(link.device()).args(["10.7.0.1", "4000"]), &up);
    assert_same(&got, &down);
    assert_same(&server.join().expect("the server"), &up);
}

fn the_kernel_ends_first_and_still_receives_everything(link: Link) {
    let serve = Serve::start(link);
    for len in [0, 1, 1_460, 100_000, 700_000] {
        let (mut stream, data) = (connect(7), octets(4, len));
        // Nothing is read before the end is sent: what comes back has its room in the buffers on the way.
        stream.write_all(&data).expect("written");
        stream.shutdown(Shutdown::Write).expect("ended");
        let mut back = Vec::new();
        stream.read_to_end(&mut back).expect("read");
        assert_same(&back, &data);
    }
    serve.wait_until_free();
    assert_eq!(serve.counter("tcp_resets_out"), 0);
    serve.end();
}

fn the_stack_ends_first_and_still_takes_what_comes(link: Link) {
    let serve = Serve::start(link);
    // HTTP ends its side after the answer, then reads what still comes.
    let mut stream = connect(80);
    write!(stream, "GET /bytes/100000 HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    assert!(all.len() > 100_000);
    stream.write_all(&octets(5, 8 << 20)).expect("taken");
    assert_eq!(serve.counter("tcp_connections"), 1);
    stream.shutdown(Shutdown::Write).expect("ended");
    serve.wait_until_free();
    assert_eq!(serve.counter("tcp_resets_out"), 0);
    assert!(stream.take_error().expect("its state").is_none(), "within {LIMIT:?}");
    serve.end();
}
