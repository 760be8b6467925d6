use super::*;
use crate::error::Full;
use crate::event::Readiness;
use crate::time::Instant;
use managed::ManagedSlice;
use proptest::prelude::*;
extern crate std;
use std::collections::VecDeque;
use std::vec::Vec;

fn scheduler<'a>(limit: usize, ifaces: usize) -> Scheduler<'a> {
    let mut s = Scheduler::new(
        ManagedSlice::Owned(Vec::new()),
        ManagedSlice::Owned(Vec::new()),
        ManagedSlice::Owned(Vec::new()),
        limit,
    );
    s.ensure_interfaces(ifaces);
    s
}

#[test]
fn a_full_table_says_so_and_a_freed_node_is_used_again() {
    let mut s = scheduler(2, 1);
    let a = s.alloc(Key::Tcp(1)).expect("room");
    s.alloc(Key::Tcp(2)).expect("room");
    assert_eq!(s.alloc(Key::Tcp(3)), Err(Full::Table));
    s.wake(a, 0);
    s.post(a, Readiness::READ);
    s.set_deadline(a, Instant::ZERO);
    s.free(a);
    assert_eq!(s.pop_ready(0), None);
    assert_eq!(s.pop_event(), None);
    assert_eq!(s.pop_due(Instant::from_secs(1)), None);
    let b = s.alloc(Key::Tcp(4)).expect("the freed one");
    s.wake(b, 0);
    assert_eq!(s.pop_ready(0), Some((b, Key::Tcp(4))));
}

#[test]
fn events_of_one_node_are_told_as_one_in_order_of_the_first() {
    let mut s = scheduler(4, 1);
    let (a, b) = (s.alloc(Key::Tcp(1)).expect("room"), s.alloc(Key::Udp(1)).expect("room"));
    s.post(a, Readiness::READ);
    s.post(b, Readiness::WRITE);
    s.post(a, Readiness::CLOSED);
    assert_eq!(s.pop_event(), Some((Key::Tcp(1), Readiness::READ | Readiness::CLOSED)));
    assert_eq!(s.pop_event(), Some((Key::Udp(1), Readiness::WRITE)));
    assert_eq!(s.pop_event(), None);
}

/// Where a node is, in the obvious model: lists of numbers.
#[derive(Default)]
struct Model {
    ready: [VecDeque<u32>; 2],
    waiting: VecDeque<u32>,
}

impl Model {
    fn remove(&mut self, id: u32) {
        for list in self.ready.iter_mut().chain([&mut self.waiting]) {
            list.retain(|&n| n != id);
        }
    }
}

proptest! {
    #[test]
    fn lists_of_nodes_are_fifos(ops in prop::collection::vec((0u8..6, 0u32..6, 0usize..2), 0..300)) {
        let mut s = scheduler(7, 2);
        let owner = s.alloc(Key::Neighbor(0)).expect("room");
        let mut wait = WaitList::new();
        let nodes: Vec<_> = (0..6).map(|i| s.alloc(Key::Tcp(i)).expect("room")).collect();
        let mut m = Model::default();
        for (op, n, iface) in ops {
            let id = nodes[n as usize];
            match op {
                0 | 1 => {
                    s.wake(id, iface);
                    if !m.ready[iface].contains(&n) {
                        m.remove(n);
                        m.ready[iface].push_back(n);
                    }
                }
                2 => {
                    s.park(id, owner, &mut wait);
                    if !m.waiting.contains(&n) {
                        m.remove(n);
                        m.waiting.push_back(n);
                    }
                    prop_assert!(!wait.is_empty());
                }
                3 => {
                    s.unpark(owner, &mut wait, iface);
                    while let Some(n) = m.waiting.pop_front() {
                        m.ready[iface].push_back(n);
                    }
                    prop_assert!(wait.is_empty());
                }
                _ => {
                    let got = s.pop_ready(iface).map(|(_, key)| key);
                    prop_assert_eq!(got, m.ready[iface].pop_front().map(Key::Tcp));
                }
            }
            prop_assert_eq!(s.has_ready(iface), !m.ready[iface].is_empty());
        }
    }
}
