//! Where TCP keeps its tables: fixed, for a `static`, or growing.

use super::conn::Storage;
use super::layer::{Entry, ListenEntry, TcpParts};
#[cfg(feature = "syn-queue")]
use super::listen::SynSlot;
use super::sent::{Sent, fixed_slots};
#[cfg(feature = "time-wait")]
use super::timewait::{TimeWaitSlot, TimeWaitTable};
use crate::assembler::Range;
use crate::sockets::arena::Arena;
use crate::sockets::demux::{Demux, Slot};
use crate::sockets::table::{Place, Slab};
use managed::ManagedSlice::Borrowed;

/// Handshakes under way, per listener.
#[cfg(feature = "syn-queue")]
const SYNS: usize = 8;
/// Records of segments in flight, per connection.
const RECORDS: usize = 16;
/// Ranges of out-of-order text, per connection.
const RANGES: usize = 4;

/// Fixed tables of `TCP` connections and `LISTENERS` listeners.
pub(crate) struct FixedTcp<'a, const TCP: usize, const LISTENERS: usize, const RX: usize, const TX: usize> {
    conns: [Place<Entry<'a>>; TCP],
    listeners: [Place<ListenEntry<'a>>; LISTENERS],
    #[cfg(feature = "time-wait")]
    time_waits: [TimeWaitSlot; TCP],
    /// For connections and their TIME-WAITs, at most half full.
    demux: [[Slot; 8]; TCP],
    bindings: [[Slot; 2]; LISTENERS],
    rx: [[u8; RX]; TCP],
    tx: [[u8; TX]; TCP],
    record: [[Sent; RECORDS]; TCP],
    range: [[Range; RANGES]; TCP],
    buffers: [Option<Storage<'a>>; TCP],
    #[cfg(feature = "syn-queue")]
    syn: [[SynSlot; SYNS]; LISTENERS],
    #[cfg(feature = "syn-queue")]
    syns: [Option<managed::ManagedSlice<'a, SynSlot>>; LISTENERS],
}

impl<'a, const TCP: usize, const LISTENERS: usize, const RX: usize, const TX: usize>
    FixedTcp<'a, TCP, LISTENERS, RX, TX>
{
    pub const fn new() -> Self {
        Self {
            conns: [const { Place::new() }; TCP],
            listeners: [const { Place::new() }; LISTENERS],
            #[cfg(feature = "time-wait")]
            time_waits: [const { TimeWaitSlot::new() }; TCP],
            demux: [[const { Slot::new() }; 8]; TCP],
            bindings: [[const { Slot::new() }; 2]; LISTENERS],
            rx: [[0; RX]; TCP],
            tx: [[0; TX]; TCP],
            record: [[const { Sent::new() }; RECORDS]; TCP],
            range: [[(0, 0); RANGES]; TCP],
            buffers: [const { None }; TCP],
            #[cfg(feature = "syn-queue")]
            syn: [const { [const { SynSlot::blank() }; SYNS] }; LISTENERS],
            #[cfg(feature = "syn-queue")]
            syns: [const { None }; LISTENERS],
        }
    }

    pub fn parts(&'a mut self) -> TcpParts<'a> {
        let octets = self.rx.iter_mut().zip(&mut self.tx);
        let others = self.record.iter_mut().zip(&mut self.range);
        for (place, ((rx, tx), (record, range))) in self.buffers.iter_mut().zip(octets.zip(others)) {
            let (rx, tx, ranges) = (Borrowed(&mut rx[..]), Borrowed(&mut tx[..]), Borrowed(&mut range[..]));
            *place = Some(Storage { rx, tx, sent: fixed_slots(record), ranges });
        }
        #[cfg(feature = "syn-queue")]
        for (place, slots) in self.syns.iter_mut().zip(&mut self.syn) {
            *place = Some(Borrowed(&mut slots[..]));
        }
        let all = usize::MAX;
        TcpParts {
            conns: Slab::new(Borrowed(&mut self.conns), all),
            listeners: Slab::new(Borrowed(&mut self.listeners), all),
            #[cfg(feature = "time-wait")]
            time_waits: TimeWaitTable::new(Borrowed(&mut self.time_waits), all),
            demux: Demux::new(Borrowed(self.demux.as_flattened_mut())),
            bindings: Demux::new(Borrowed(self.bindings.as_flattened_mut())),
            buffers: Arena::fixed(&mut self.buffers),
            rx_most: RX,
            #[cfg(feature = "syn-queue")]
            syns: Arena::fixed(&mut self.syns),
        }
    }
}

#[cfg(feature = "alloc")]
impl TcpParts<'_> {
    /// Tables that grow up to these numbers.
    pub fn growing(conns: usize, listeners: usize, time_waits: usize) -> Self {
        fn owned<'a, T>() -> managed::ManagedSlice<'a, T> {
            managed::ManagedSlice::Owned(alloc::vec::Vec::new())
        }
        Self {
            conns: Slab::new(owned(), conns),
            listeners: Slab::new(owned(), listeners),
            #[cfg(feature = "time-wait")]
            time_waits: TimeWaitTable::new(owned(), time_waits),
            demux: Demux::new(owned()),
            bindings: Demux::new(owned()),
            buffers: Arena::growing(),
            rx_most: usize::MAX,
            #[cfg(feature = "syn-queue")]
            syns: Arena::growing(),
        }
    }
}
