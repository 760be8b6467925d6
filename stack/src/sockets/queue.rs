//! Bounded queues of datagrams: what a UDP, raw or echo socket has received, or has yet to send.

use crate::frame::Frame;
use crate::grow::vector;
use managed::ManagedSlice;

/// A datagram in its frame, which begins at the IP header.
#[derive(Debug)]
pub(crate) struct Queued<'a> {
    pub frame: Frame<'a>,
    /// Octets from the frame's beginning to the payload that the socket's user sees; of a datagram that a UDP socket sends,
    /// to the UDP header whose checksum is left to the device, or 0 when it is complete.
    pub payload: u16,
    /// The interface it came by.
    pub iface: u8,
}

/// One place of a queue's storage.
pub(crate) type Place<'a> = Option<Queued<'a>>;

/// The places of a socket's two queues: what it has received, what it has yet to send.
pub(crate) type Pair<'a> = [ManagedSlice<'a, Place<'a>>; 2];

/// Queues that grow, where they can.
pub(crate) fn growing<'a>() -> Option<Pair<'a>> {
    Some([vector()?, vector()?])
}

/// A FIFO over borrowed places, or over places that grow up to a limit.
pub(crate) struct Queue<'a> {
    places: ManagedSlice<'a, Place<'a>>,
    limit: usize,
    head: usize,
    len: usize,
}

impl<'a> Queue<'a> {
    /// Borrowed places bound the queue by their number, owned ones by `limit`.
    pub fn new(places: ManagedSlice<'a, Place<'a>>, limit: usize) -> Self {
        let limit = match &places {
            ManagedSlice::Borrowed(p) => limit.min(p.len()),
            #[cfg(feature = "alloc")]
            ManagedSlice::Owned(_) => limit,
        };
        Self { places, limit, head: 0, len: 0 }
    }

    #[cfg(all(test, feature = "alloc"))]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn is_full(&self) -> bool {
        self.len >= self.limit
    }

    /// Appends, or gives the datagram back when the queue is full.
    pub fn push(&mut self, item: Queued<'a>) -> Result<(), Queued<'a>> {
        if self.is_full() {
            return Err(item);
        }
        self.grow();
        let at = self.place(self.len);
        match self.places.get_mut(at) {
            Some(place) => {
                *place = Some(item);
                self.len += 1;
                Ok(())
            }
            None => Err(item),
        }
    }

    /// Takes the oldest.
    pub fn pop(&mut self) -> Option<Queued<'a>> {
        let item = self.places.get_mut(self.head)?.take()?;
        self.head = self.place(1);
        self.len -= 1;
        Some(item)
    }

    /// Puts one back at the front, where it was taken from.
    pub fn unpop(&mut self, item: Queued<'a>) {
        let size = self.places.len().max(1);
        self.head = (self.head + size - 1) % size;
        if let Some(place) = self.places.get_mut(self.head) {
            *place = Some(item);
            self.len += 1;
        }
    }

    #[cfg(all(test, feature = "alloc"))]
    pub fn front(&self) -> Option<&Queued<'a>> {
        self.places.get(self.head)?.as_ref()
    }

    /// The emptied storage, to be used again.
    pub fn into_places(mut self) -> ManagedSlice<'a, Place<'a>> {
        while self.pop().is_some() {}
        self.places
    }

    fn place(&self, offset: usize) -> usize {
        let at = self.head + offset;
        if at >= self.places.len() { at - self.places.len() } else { at }
    }

    #[cfg(not(feature = "alloc"))]
    fn grow(&mut self) {}

    /// Doubles owned storage that is full, with the oldest first.
    #[cfg(feature = "alloc")]
    fn grow(&mut self) {
        if let ManagedSlice::Owned(places) = &mut self.places
            && self.len == places.len()
        {
            places.rotate_left(self.head);
            self.head = 0;
            let new = (self.len * 2).clamp(4, self.limit.max(4));
            places.resize_with(new, || None);
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use crate::frame::BoxedPool;
    use proptest::prelude::*;
    extern crate std;
    use std::collections::VecDeque;

    fn check<'a>(mut queue: Queue<'a>, memory: &'a BoxedPool, limit: usize, ops: &[u8]) -> Result<(), TestCaseError> {
        let mut model = VecDeque::new();
        let mut held = None;
        let mut n = 0u16;
        for op in ops {
            match op % 4 {
                0 | 1 => {
                    let mut frame = memory.pool().take(0).expect("the pool is larger than the limit");
                    frame.extend(&n.to_be_bytes()).expect("room");
                    match queue.push(Queued { frame, payload: n, iface: 0 }) {
                        Ok(()) => model.push_back(n),
                        Err(_) => prop_assert_eq!(model.len(), limit),
                    }
                    n += 1;
                }
                2 => {
                    held = queue.pop();
                    prop_assert_eq!(held.as_ref().map(|q| q.payload), model.pop_front());
                }
                _ => {
                    if let Some(q) = held.take()
                        && !queue.is_full()
                    {
                        model.push_front(q.payload);
                        queue.unpop(q);
                    }
                }
            }
            held = if op % 4 == 2 { held } else { None };
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(queue.is_full(), model.len() == limit);
            prop_assert_eq!(queue.front().map(|q| q.payload), model.front().copied());
        }
        drop(queue.into_places());
        drop(held);
        prop_assert_eq!(memory.pool().free(), memory.pool().count());
        Ok(())
    }

    proptest! {
        #[test]
        fn a_queue_is_a_bounded_fifo_borrowed_and_owned(ops in prop::collection::vec(any::<u8>(), 0..200)) {
            let memory = BoxedPool::new(64, 16);
            check(Queue::new(ManagedSlice::Owned(std::vec::Vec::new()), 7), &memory, 7, &ops)?;
            let places: &'static mut [Place<'static>] = std::boxed::Box::leak(std::boxed::Box::new([const { None }; 5]));
            let leaked: &'static BoxedPool = std::boxed::Box::leak(std::boxed::Box::new(BoxedPool::new(64, 16)));
            check(Queue::new(ManagedSlice::Borrowed(places), 7), leaked, 5, &ops)?;
        }
    }
}
