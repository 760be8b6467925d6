//! A card at which packets arrive at the most awkward times.

extern crate std;
use super::Attention;
use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicUsize, Ordering};
use core::task::Waker;
use std::sync::Arc;
use std::task::Wake;

/// A card with one cause for interrupts: a packet came.
struct Card<'a> {
    attention: &'a Attention,
    random: RefCell<u64>,
    to_come: Cell<u32>,
    waiting: Cell<u32>,
    cause: Cell<bool>,
    unmasked: Cell<bool>,
    interrupts: Cell<u32>,
}

impl<'a> Card<'a> {
    fn new(attention: &'a Attention, packets: u32, seed: u64) -> Self {
        Self {
            attention,
            random: RefCell::new(seed | 1),
            to_come: Cell::new(packets),
            waiting: Cell::new(0),
            cause: Cell::new(false),
            unmasked: Cell::new(false),
            interrupts: Cell::new(0),
        }
    }

    fn chance(&self) -> bool {
        let mut random = self.random.borrow_mut();
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        random.is_multiple_of(3)
    }

    /// A packet may come; and where the interrupt is unmasked, the handler runs.
    fn step(&self) {
        if self.to_come.get() > 0 && self.chance() {
            self.to_come.set(self.to_come.get() - 1);
            self.waiting.set(self.waiting.get() + 1);
            self.cause.set(true);
        }
        if self.cause.get() && self.unmasked.get() {
            self.interrupts.set(self.interrupts.get() + 1);
            self.unmasked.set(false);
            self.attention.raise();
        }
    }

    fn receive(&self) -> Option<()> {
        let mut card = self;
        self.attention.drain(
            &mut card,
            |card| {
                card.step();
                let left = card.waiting.get().checked_sub(1);
                left.map(|left| card.waiting.set(left))
            },
            |card| {
                card.step();
                card.cause.set(false);
                card.step();
                card.unmasked.set(true);
                card.step();
            },
        )
    }
}

#[test]
fn whenever_packets_come_none_waits_while_the_poll_sleeps() {
    let seeds = if cfg!(miri) { 20 } else { 2000 };
    for seed in 1..seeds {
        let attention = Attention::new();
        let card = Card::new(&attention, 50, seed * 0x9e37_79b9);
        let mut received = 0;
        let mut sleeps = 0;
        while received < 50 {
            assert!(sleeps < 100_000, "seed {seed}");
            if attention.is_raised() {
                // A poll with a budget: it may end with packets left.
                let budget = 1 + sleeps % 4;
                received += (0..budget).map_while(|_| card.receive()).count();
            } else {
                // Asleep: only an interrupt ends it.
                assert!(card.waiting.get() == 0 || card.cause.get(), "seed {seed}: a packet waits and nobody comes");
                sleeps += 1;
                card.step();
            }
        }
        assert_eq!(card.receive(), None);
        assert!(card.unmasked.get() && !attention.is_raised(), "all done: the interrupt is on again");
    }
}

#[test]
fn a_stream_of_packets_costs_one_interrupt() {
    let attention = Attention::new();
    let card = Card::new(&attention, 0, 1);
    assert_eq!(card.receive(), None);
    card.waiting.set(100);
    card.cause.set(true);
    card.step();
    assert_eq!((0..100).filter_map(|_| card.receive()).count(), 100);
    assert_eq!(card.interrupts.get(), 1);
}

#[test]
fn a_waker_is_woken_by_the_interrupt_and_at_once_when_a_poll_is_owed() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let woken = || count.0.load(Ordering::Relaxed);
    let attention = Attention::new();
    attention.register(&waker);
    assert_eq!(woken(), 1, "the first poll is owed");
    assert_eq!(attention.drain(&mut (), |()| None::<()>, |()| ()), None);
    attention.register(&waker);
    assert_eq!(woken(), 1);
    attention.raise();
    assert_eq!(woken(), 2);
    attention.raise();
    assert_eq!(woken(), 2, "once for each registration");
}
