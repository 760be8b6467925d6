//! Memory that sockets borrow while they live: parts handed out and taken back.
//!
//! With fixed storage these are the caller's slices, of one size each; with `alloc`, vectors of their own.

/// A stock of parts.
pub(crate) struct Arena<'a, T> {
    /// `None`: parts are made when asked for.
    stock: Option<&'a mut [Option<T>]>,
}

impl<'a, T> Arena<'a, T> {
    /// These parts, and no others.
    pub fn fixed(stock: &'a mut [Option<T>]) -> Self {
        Self { stock: Some(stock) }
    }

    /// Parts that are made when they are wanted.
    #[cfg(feature = "alloc")]
    pub fn growing() -> Self {
        Self { stock: None }
    }

    /// A part; `None` when nothing is left. `make` makes one, where that is possible.
    ///
    /// This is a look at every part of the stock: once per socket, never per packet.
    pub fn take(&mut self, make: impl FnOnce() -> Option<T>) -> Option<T> {
        match &mut self.stock {
            Some(stock) => stock.iter_mut().find_map(Option::take),
            None => make(),
        }
    }

    /// Takes a part back.
    #[cfg_attr(target_os = "none", inline(never))]
    pub fn give_back(&mut self, part: T) {
        if let Some(stock) = &mut self.stock
            && let Some(place) = stock.iter_mut().find(|place| place.is_none())
        {
            *place = Some(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_handed_out_once_and_come_back() {
        let mut stock = [Some(1), Some(2)];
        let mut arena = Arena::fixed(&mut stock);
        let none = || panic!("fixed parts are not made");
        assert_eq!((arena.take(none), arena.take(none), arena.take(none)), (Some(1), Some(2), None));
        arena.give_back(2);
        assert_eq!((arena.take(none), arena.take(none)), (Some(2), None));
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn where_parts_are_made_there_is_always_one() {
        let mut arena = Arena::growing();
        assert_eq!((arena.take(|| Some(7)), arena.take(|| Some(8))), (Some(7), Some(8)));
        arena.give_back(7);
    }
}
