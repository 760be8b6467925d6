//! The stack as a host of scripts, in virtual time.

use super::play::{HOST_PORT, Host, Note, PEER_PORT};
use super::{Ending, Settings};
use crate::bench::{Bench, P, segments};
use crate::packet::Tcp;
use ringtap::error::TcpError;
use ringtap::tcp::{ConnectOptions, KeepAlive, ListenerHandle, TcpHandle, TcpOptions};
use ringtap::time;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// The stack under test on its bench.
pub struct StackHost {
    bench: Bench,
    listener: Option<ListenerHandle>,
    handle: Option<TcpHandle>,
    /// The last thing done to it.
    since: time::Instant,
    sent: VecDeque<Note>,
}

impl Default for StackHost {
    fn default() -> Self {
        Self::new()
    }
}

fn options(settings: Settings) -> TcpOptions {
    let seconds = |n: u32| time::Duration::from_secs(n.into());
    let keep_alive = settings.keep_alive.map(|(idle, interval, count)| KeepAlive {
        idle: seconds(idle),
        interval: seconds(interval),
        count,
    });
    TcpOptions { nagle: !settings.no_nagle, keep_alive, ..TcpOptions::default() }
}

impl StackHost {
    /// A new stack without connections.
    pub fn new() -> Self {
        let bench = Bench::new().with_live_neighbors();
        let since = bench.now;
        Self { bench, listener: None, handle: None, since, sent: VecDeque::new() }
    }

    fn acted(&mut self) {
        self.since = self.bench.now;
    }

    /// What leaves now.
    fn collect(&mut self) {
        let at = Duration::from_micros(self.bench.now.since(self.since).as_micros());
        let sent = segments(&self.bench.poll());
        self.sent.extend(sent.into_iter().map(|segment| Note { at, segment }));
    }

    fn run(&mut self, time: Duration, until_sent: bool) {
        let end = self.bench.now + time::Duration::from_micros(time.as_micros() as u64);
        loop {
            self.collect();
            if until_sent && !self.sent.is_empty() {
                return;
            }
            match self.bench.stack.next_deadline() {
                Some(at) if at <= end => self.bench.now = self.bench.now.max(at),
                _ => break,
            }
        }
        self.bench.now = end;
    }

    /// The connection's handle.
    ///
    /// # Panics
    /// When the script has not opened or accepted it.
    fn handle(&self) -> TcpHandle {
        self.handle.expect("a connection, opened or accepted")
    }
}

impl Host for StackHost {
    fn name(&self) -> &'static str {
        "stack"
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn listen(&mut self, settings: Settings) {
        self.acted();
        self.listener = Some(self.bench.listen(HOST_PORT, 4, options(settings)));
    }

    fn connect(&mut self, settings: Settings) {
        self.acted();
        let options = ConnectOptions { tcp: options(settings), local_port: HOST_PORT, ..ConnectOptions::default() };
        let remote = SocketAddr::new(IpAddr::V4(P), PEER_PORT);
        self.handle = Some(self.bench.stack.tcp_connect(remote, &options).expect("a way"));
    }

    fn accept(&mut self) -> bool {
        self.collect();
        self.acted();
        let accepted = self.listener.and_then(|listener| self.bench.stack.tcp_accept(listener).ok());
        self.handle = accepted.map(|(handle, _)| handle);
        accepted.is_some()
    }

    fn give(&mut self, segment: &Tcp) {
        self.collect();
        self.acted();
        let sent = segments(&self.bench.give_tcp(segment));
        self.sent.extend(sent.into_iter().map(|segment| Note { at: Duration::ZERO, segment }));
    }

    fn next(&mut self, wait: Duration) -> Option<Note> {
        if self.sent.is_empty() {
            self.run(wait, true);
        }
        self.sent.pop_front()
    }

    fn pass(&mut self, time: Duration) -> Vec<Note> {
        self.run(time, false);
        self.sent.drain(..).collect()
    }

    fn write(&mut self, text: &[u8]) -> usize {
        self.acted();
        let handle = self.handle();
        self.bench.stack.tcp(handle).expect("open").write(text).unwrap_or(0)
    }

    fn read(&mut self, most: usize) -> Option<Result<Vec<u8>, Ending>> {
        self.collect();
        self.acted();
        let handle = self.handle();
        let mut buf = vec![0; most];
        match self.bench.stack.tcp(handle).expect("open").read(&mut buf) {
            Ok(n) => Some(Ok(buf[..n].to_vec())),
            Err(TcpError::Reset) => Some(Err(Ending::Reset)),
            Err(TcpError::Refused) => Some(Err(Ending::Refused)),
            Err(TcpError::TimedOut) => Some(Err(Ending::TimedOut)),
            Err(_) => None,
        }
    }

    fn shutdown(&mut self) {
        self.acted();
        let handle = self.handle();
        self.bench.stack.tcp(handle).expect("open").shutdown_write().expect("open");
    }

    fn close(&mut self) {
        self.acted();
        let handle = self.handle();
        self.bench.stack.tcp(handle).expect("open").close();
    }
}
