//! Where TCP keeps its tables: fixed, for a `static`, or growing.

use super::layer::{Entry, ListenEntry, TcpParts};
#[cfg(feature = "syn-queue")]
use super::listen::SynSlot;
use super::sent::{Sent, Stock};
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
    bytes: [[Option<&'a mut [u8]>; 2]; TCP],
    record: [[Sent; RECORDS]; TCP],
    records: [Option<&'a mut [Sent]>; TCP],
    range: [[Range; RANGES]; TCP],
    ranges: [Option<&'a mut [Range]>; TCP],
    #[cfg(feature = "syn-queue")]
    syn: [[SynSlot; SYNS]; LISTENERS],
    #[cfg(feature = "syn-queue")]
    syns: [Option<&'a mut [SynSlot]>; LISTENERS],
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
            bytes: [const { [const { None }; 2] }; TCP],
            record: [[const { Sent::new() }; RECORDS]; TCP],
            records: [const { None }; TCP],
            range: [[(0, 0); RANGES]; TCP],
            ranges: [const { None }; TCP],
            #[cfg(feature = "syn-queue")]
            syn: [const { [const { SynSlot::blank() }; SYNS] }; LISTENERS],
            #[cfg(feature = "syn-queue")]
            syns: [const { None }; LISTENERS],
        }
    }

    pub fn parts(&'a mut self) -> TcpParts<'a> {
        let bytes = self.bytes.as_flattened_mut();
        stock(self.rx.iter_mut().map(|b| &mut b[..]).chain(self.tx.iter_mut().map(|b| &mut b[..])), bytes);
        stock(self.record.iter_mut().map(|b| &mut b[..]), &mut self.records);
        stock(self.range.iter_mut().map(|b| &mut b[..]), &mut self.ranges);
        #[cfg(feature = "syn-queue")]
        stock(self.syn.iter_mut().map(|b| &mut b[..]), &mut self.syns);
        let all = usize::MAX;
        TcpParts {
            conns: Slab::new(Borrowed(&mut self.conns), all),
            listeners: Slab::new(Borrowed(&mut self.listeners), all),
            #[cfg(feature = "time-wait")]
            time_waits: TimeWaitTable::new(Borrowed(&mut self.time_waits), all),
            demux: Demux::new(Borrowed(self.demux.as_flattened_mut())),
            bindings: Demux::new(Borrowed(self.bindings.as_flattened_mut())),
            bytes: Arena::borrowed(bytes),
            records: Stock::borrowed(&mut self.records),
            ranges: Arena::borrowed(&mut self.ranges),
            #[cfg(feature = "syn-queue")]
            syns: Arena::borrowed(&mut self.syns),
        }
    }
}

/// Puts each buffer in a place of the stock.
fn stock<'a, T>(buffers: impl Iterator<Item = &'a mut [T]>, places: &mut [Option<&'a mut [T]>]) {
    for (buffer, place) in buffers.zip(places) {
        *place = Some(buffer);
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
            bytes: Arena::owned(),
            records: Stock::owned(),
            ranges: Arena::owned(),
            #[cfg(feature = "syn-queue")]
            syns: Arena::owned(),
        }
    }
}
