//! Buffers that sockets borrow while they live: slices handed out and taken back.
//!
//! With fixed storage these are the caller's slices; with `alloc`, each is a vector of its own.

use managed::ManagedSlice;

/// A stock of slices of `T`.
pub(crate) struct Arena<'a, T> {
    /// `None`: slices are vectors, made when asked for.
    stock: Option<&'a mut [Option<&'a mut [T]>]>,
    /// Elements of the largest slice.
    largest: usize,
}

impl<'a, T> Arena<'a, T> {
    /// Slices from this stock, and no others.
    pub fn borrowed(stock: &'a mut [Option<&'a mut [T]>]) -> Self {
        let largest = stock.iter().flatten().map(|slice| slice.len()).max().unwrap_or(0);
        Self { stock: Some(stock), largest }
    }

    /// Vectors, empty at first.
    #[cfg(feature = "alloc")]
    pub fn owned() -> Self {
        Self { stock: None, largest: usize::MAX }
    }

    /// The smallest slice of at least `wanted` elements, else the largest there is; `None` when nothing is left.
    ///
    /// This is a look at every slice of the stock: once per socket, never per packet.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn take(&mut self, wanted: usize) -> Option<ManagedSlice<'a, T>> {
        let Some(stock) = &mut self.stock else {
            return Self::vector();
        };
        let rank = |len: usize| if len >= wanted { (0, len) } else { (1, usize::MAX - len) };
        let best = stock
            .iter_mut()
            .filter(|place| place.is_some())
            .min_by_key(|place| place.as_ref().map(|slice| rank(slice.len())))?;
        best.take().map(ManagedSlice::Borrowed)
    }

    /// How much of `wanted` a slice can have at most.
    pub fn at_most(&self, wanted: usize) -> usize {
        wanted.min(self.largest)
    }

    /// Takes a slice back.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn give_back(&mut self, slice: ManagedSlice<'a, T>) {
        if let (Some(stock), ManagedSlice::Borrowed(slice)) = (&mut self.stock, slice)
            && let Some(place) = stock.iter_mut().find(|place| place.is_none())
        {
            *place = Some(slice);
        }
    }

    #[cfg(feature = "alloc")]
    fn vector() -> Option<ManagedSlice<'a, T>> {
        Some(ManagedSlice::Owned(alloc::vec::Vec::new()))
    }

    #[cfg(not(feature = "alloc"))]
    fn vector() -> Option<ManagedSlice<'a, T>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_fitting_slice_is_handed_out_and_comes_back() {
        let (mut a, mut b, mut c) = ([0u8; 4], [0u8; 16], [0u8; 8]);
        let mut stock = [Some(&mut a[..]), Some(&mut b[..]), Some(&mut c[..])];
        let mut arena = Arena::borrowed(&mut stock);
        let eight = arena.take(5).expect("two fit");
        assert_eq!(eight.len(), 8);
        let sixteen = arena.take(5).expect("one fits");
        assert_eq!(sixteen.len(), 16);
        let four = arena.take(5).expect("too small, but all there is");
        assert_eq!(four.len(), 4);
        assert!(arena.take(1).is_none());
        arena.give_back(eight);
        assert_eq!(arena.take(1).map(|s| s.len()), Some(8));
    }
}
