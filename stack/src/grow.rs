//! Growing storage: the one place that tells borrowed slices from owned ones.
//!
//! A borrowed slice has the size it has. An owned one (feature `alloc`) begins as small as it was given and grows by
//! doubling, up to a limit that its user states; when the allocator refuses, it stays as it is.

use managed::ManagedSlice;

/// Brings `slice` to at least `needed` items, if it may: a borrowed slice must have them, an owned one grows by doubling
/// (from `least`) and never beyond `limit`. New items come from `make`. Returns whether they are there.
pub(crate) fn grow<T>(
    slice: &mut ManagedSlice<'_, T>,
    needed: usize,
    least: usize,
    limit: usize,
    make: impl FnMut() -> T,
) -> bool {
    if slice.len() >= needed {
        return true;
    }
    match slice {
        ManagedSlice::Borrowed(_) => {
            let _ = (least, limit, make);
            false
        }
        #[cfg(feature = "alloc")]
        ManagedSlice::Owned(vec) => {
            if needed > limit {
                return false;
            }
            let target = vec.len().saturating_mul(2).max(needed).max(least).min(limit);
            if vec.try_reserve_exact(target - vec.len()).is_err() {
                return false;
            }
            vec.resize_with(target, make);
            true
        }
    }
}

/// An owned slice without items, where there are any.
pub(crate) fn vector<'a, T>() -> Option<ManagedSlice<'a, T>> {
    #[cfg(feature = "alloc")]
    return Some(ManagedSlice::Owned(alloc::vec::Vec::new()));
    #[cfg(not(feature = "alloc"))]
    None
}

/// How many items `slice` can have: its length when borrowed, `limit` when owned.
pub(crate) fn most<T>(slice: &ManagedSlice<'_, T>, limit: usize) -> usize {
    match slice {
        ManagedSlice::Borrowed(slice) => slice.len().min(limit),
        #[cfg(feature = "alloc")]
        ManagedSlice::Owned(_) => limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_borrowed_slice_is_as_long_as_it_is() {
        let mut memory = [0u8; 4];
        let mut slice = ManagedSlice::Borrowed(&mut memory);
        assert!(grow(&mut slice, 4, 8, 100, || 1) && !grow(&mut slice, 5, 8, 100, || 1));
        assert_eq!((slice.len(), most(&slice, 100), most(&slice, 3)), (4, 4, 3));
    }

    #[cfg(feature = "alloc")]
    #[test]
    fn an_owned_slice_doubles_from_its_least_size_up_to_its_limit() {
        let mut slice = ManagedSlice::Owned(alloc::vec::Vec::new());
        let lens = [1, 5, 9, 17, 40].map(|needed| {
            assert!(grow(&mut slice, needed, 4, 50, || 1));
            slice.len()
        });
        assert_eq!(lens, [4, 8, 16, 32, 50]);
        assert!(!grow(&mut slice, 51, 4, 50, || 1));
        assert_eq!((slice.len(), most(&slice, 50)), (50, 50));
    }
}
