//! Descriptors of the SmartFusion2 EMAC: three words, linked.
//!
//! ```text
//!   0 │ buffer                                                    │
//!   1 │ EMPTY 31 │ ... │ octets of the packet 11:0                │
//!   2 │ next descriptor                                           │
//! ```
//!
//! On receive, `EMPTY` means that the engine may fill the buffer; on transmit, that there is nothing to send.

use crate::ring::{Descriptor, Received, RxDescriptor, TxDescriptor, TxError};
use crate::word::{Word, bit, low};
use ringtap::device::{RxMeta, TxMeta};

const BUFFER: usize = 0;
const SIZE: usize = 1;
const NEXT: usize = 2;

const EMPTY: u32 = bit(31);
/// Octets of a packet: twelve bits, of which QEMU has eleven.
const LENGTH: u32 = 0x7ff;

/// Octets of a descriptor.
pub(super) const STEP: usize = size_of::<[Word; 3]>();

/// A receive descriptor of a ring of `N`.
#[derive(Debug)]
#[repr(C, align(4))]
pub struct RxDesc<const N: usize>([Word; 3]);

/// A transmit descriptor of a ring of `N`.
#[derive(Debug)]
#[repr(C, align(4))]
pub struct TxDesc<const N: usize>([Word; 3]);

/// Where the descriptor after the one at `this` lies.
fn next<const N: usize>(this: *const u8, wraps: bool) -> u32 {
    let here = low(this);
    if wraps { here.wrapping_sub(((N - 1) * STEP) as u32) } else { here.wrapping_add(STEP as u32) }
}

impl<const N: usize> RxDesc<N> {
    /// A descriptor that is ours. All zeros, so that a `static` lies in `.bss`.
    pub const fn new() -> Self {
        Self([const { Word::new(0) }; 3])
    }

    /// The words, to look at.
    pub fn words(&self) -> &[Word; 3] {
        &self.0
    }
}

impl<const N: usize> TxDesc<N> {
    /// A descriptor without a frame.
    pub const fn new() -> Self {
        Self([Word::new(0), Word::new(EMPTY), Word::new(0)])
    }

    /// The words, to look at.
    pub fn words(&self) -> &[Word; 3] {
        &self.0
    }
}

impl<const N: usize> Default for RxDesc<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Default for TxDesc<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Descriptor for RxDesc<N> {
    fn is_hardware(&self) -> bool {
        self.0[SIZE].get() & EMPTY != 0
    }

    fn give(&self) {
        self.0[SIZE].set(EMPTY);
    }

    fn take_back(&self) {
        self.0[SIZE].set(0);
    }
}

impl<const N: usize> RxDescriptor for RxDesc<N> {
    // The descriptor does not name the capacity: the MAC's longest frame bounds what is written.
    const MAX_CAPACITY: usize = LENGTH as usize & !3;

    fn arm(&self, buffer: *mut u8, _: usize, wraps: bool) {
        self.0[BUFFER].set(low(buffer));
        self.0[NEXT].set(next::<N>(core::ptr::from_ref(self).cast(), wraps));
    }

    fn received(&self) -> Received {
        let len = (self.0[SIZE].get() & LENGTH) as usize;
        // Damaged packets never come so far: the FIFO drops them.
        Received { len, first: true, last: true, error: None, meta: RxMeta::default(), context_follows: false }
    }
}

impl<const N: usize> Descriptor for TxDesc<N> {
    fn is_hardware(&self) -> bool {
        self.0[SIZE].get() & EMPTY == 0
    }

    fn give(&self) {
        self.0[SIZE].set(self.0[SIZE].get() & !EMPTY);
    }

    fn take_back(&self) {
        self.0[SIZE].set(EMPTY);
    }
}

impl<const N: usize> TxDescriptor for TxDesc<N> {
    const MAX_LEN: usize = LENGTH as usize;

    fn load(&self, buffer: *const u8, len: usize, _: &TxMeta, wraps: bool) {
        self.0[BUFFER].set(low(buffer));
        self.0[NEXT].set(next::<N>(core::ptr::from_ref(self).cast(), wraps));
        self.0[SIZE].set(EMPTY | len as u32 & LENGTH);
    }

    fn sent(&self) -> Result<(), TxError> {
        // The engine tells nothing but that it has done with the frame.
        Ok(())
    }
}
