//! The inner loops, as compilers unroll them, and as `memcpy` copies.
#![cfg_attr(
    all(target_arch = "arm", target_has_atomic = "ptr", not(target_has_atomic = "64")),
    expect(dead_code, reason = "see `written_out`")
)]

use super::{Sum, WORD, chain, sum};

/// Words per turn: many where a word is one instruction, few where flash is scarce and a word may be put together from
/// octets.
pub(super) const TURN: usize = if WORD == 8 { 32 } else { 4 };

/// A chain over one turn's words.
#[inline]
pub(super) fn turn(total: usize, words: &[[u8; WORD]; TURN]) -> usize {
    chain(total, words)
}

/// Copies `src` to `dst`, which are equally long (else only the common length), and sums what was copied.
///
/// The copy runs ahead of the sum by one block, which stays in the cache: a wide `memcpy` and a chain of additions are
/// fewer instructions than one loop that does both (and such a loop is what compilers make the two of).
pub(crate) fn copy_and_sum(dst: &mut [u8], src: &[u8]) -> Sum {
    /// Half of a first-level cache of 32 KiB holds source and destination; even, so that blocks add without a swap.
    const BLOCK: usize = 8192;
    let len = dst.len().min(src.len());
    let (Some(dst), Some(src)) = (dst.get_mut(..len), src.get(..len)) else {
        return Sum::default();
    };
    if len <= BLOCK {
        dst.copy_from_slice(src);
        return sum(dst);
    }
    let mut total = Sum::default();
    for (dst, src) in dst.chunks_mut(BLOCK).zip(src.chunks(BLOCK)) {
        dst.copy_from_slice(src);
        total = total.add(sum(dst));
    }
    total
}

/// Copies `src` to `dst`, which are equally long.
#[inline]
pub(crate) fn copy(dst: &mut [u8], src: &[u8]) {
    debug_assert_eq!(dst.len(), src.len());
    if dst.len() == src.len() {
        dst.copy_from_slice(src);
    }
}
