//! An engine in a thread of its own. Under Miri, a missing barrier is a data race and fails the test.

extern crate std;
use crate::coherency::Coherent;
use crate::ring::{Descriptor, Received, RxDescriptor, RxRing, TxDescriptor, TxError, TxRing};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, fence};
use ringtap::device::{RxMeta, TxMeta};
use ringtap::frame::BoxedPool;
use std::vec::Vec;

/// The words of a descriptor; only the barriers order them.
#[derive(Default)]
struct Words {
    hardware: AtomicBool,
    buffer: AtomicPtr<u8>,
    len: AtomicUsize,
}

impl Words {
    fn load(&self, buffer: *mut u8, len: usize) {
        self.buffer.store(buffer, Ordering::Relaxed);
        self.len.store(len, Ordering::Relaxed);
    }
}

impl Descriptor for Words {
    fn is_hardware(&self) -> bool {
        self.hardware.load(Ordering::Relaxed)
    }

    fn give(&self) {
        self.hardware.store(true, Ordering::Relaxed);
    }

    fn take_back(&self) {
        self.hardware.store(false, Ordering::Relaxed);
    }
}

impl RxDescriptor for Words {
    const MAX_CAPACITY: usize = 2048;

    fn arm(&self, buffer: *mut u8, capacity: usize, _: bool) {
        self.load(buffer, capacity);
    }

    fn received(&self) -> Received {
        let len = self.len.load(Ordering::Relaxed);
        Received { len, first: true, last: true, error: None, context_follows: false, meta: RxMeta::default() }
    }
}

impl TxDescriptor for Words {
    const MAX_LEN: usize = 2048;

    fn load(&self, buffer: *const u8, len: usize, _: &TxMeta, _: bool) {
        Words::load(self, buffer.cast_mut(), len);
    }

    fn sent(&self) -> Result<(), TxError> {
        Ok(())
    }
}

const ROUNDS: u8 = if cfg!(miri) { 40 } else { 250 };

/// Loops every frame of the transmit ring back into the receive ring, with one added to each octet.
fn engine(tx: &[Words], rx: &[Words]) {
    let wait = |words: &Words| {
        while !words.hardware.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        fence(Ordering::Acquire);
        (words.buffer.load(Ordering::Relaxed), words.len.load(Ordering::Relaxed))
    };
    for round in 0..usize::from(ROUNDS) {
        let (from, to) = (&tx[round % tx.len()], &rx[round % rx.len()]);
        let (source, len) = wait(from);
        // SAFETY: the descriptor is the hardware's, and with it the buffer that it names.
        let octets: Vec<u8> = unsafe { core::slice::from_raw_parts(source, len) }.iter().map(|o| o + 1).collect();
        fence(Ordering::Release);
        from.hardware.store(false, Ordering::Relaxed);
        let (target, capacity) = wait(to);
        assert!(len <= capacity);
        // SAFETY: as above.
        unsafe { core::ptr::copy_nonoverlapping(octets.as_ptr(), target, len) };
        to.len.store(len, Ordering::Relaxed);
        fence(Ordering::Release);
        to.hardware.store(false, Ordering::Relaxed);
    }
}

#[test]
fn the_barriers_are_enough_for_an_engine_that_runs_at_the_same_time() {
    let memory = BoxedPool::new(128, 8);
    let pool = memory.pool();
    let (mut rx_words, mut tx_words): ([Words; 3], [Words; 2]) = Default::default();
    let mut rx = RxRing::new(&mut rx_words, Coherent, pool, 4).expect("a ring");
    let mut tx = TxRing::new(&mut tx_words, Coherent).expect("a ring");
    let (to, from) = (rx.ring().descriptors(), tx.ring().descriptors());
    std::thread::scope(|scope| {
        scope.spawn(move || engine(from, to));
        let (mut sent, mut received) = (0, 0);
        while received < ROUNDS {
            if sent < ROUNDS
                && let Some(mut frame) = pool.take(8)
            {
                frame.extend(&[sent; 16]).expect("room");
                sent += u8::from(tx.transmit(frame, &TxMeta::default()).is_ok());
            }
            match rx.receive() {
                Some((mut frame, _)) => {
                    assert_eq!(&frame[..], &[received + 1; 16]);
                    frame.fill(0);
                    received += 1;
                }
                None => std::thread::yield_now(),
            }
            tx.reclaim();
        }
    });
    // SAFETY: the engine's thread has ended.
    unsafe {
        rx.release();
        tx.release();
    }
    assert_eq!(pool.free(), 8);
}
