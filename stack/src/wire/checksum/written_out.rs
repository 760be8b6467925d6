//! The inner loops, written out for 32-bit ARM.
//!
//! Firmware is compiled for size, which leaves loops as they are: each word would cost its share of the loop, and the carry
//! a register. Eight words in a row are a load and an addition with carry each.

use super::{Sum, WORD, sum};

/// Words per turn.
pub(super) const TURN: usize = 8;

/// A chain over one turn's words.
#[inline]
pub(super) fn turn(total: usize, words: &[[u8; WORD]; TURN]) -> usize {
    let &[a, b, c, d, e, f, g, h] = words;
    let (total, carry) = total.carrying_add(usize::from_ne_bytes(a), false);
    let (total, carry) = total.carrying_add(usize::from_ne_bytes(b), carry);
    let (total, carry) = total.carrying_add(usize::from_ne_bytes(c), carry);
    let (total, carry) = total.carrying_add(usize::from_ne_bytes(d), carry);
    let (total, carry) = total.carrying_add(usize::from_ne_bytes(e), carry);
    let (total, carry) = total.carrying_add(usize::from_ne_bytes(f), carry);
    let (total, carry) = total.carrying_add(usize::from_ne_bytes(g), carry);
    let (total, carry) = total.carrying_add(usize::from_ne_bytes(h), carry);
    // As in `chain`: the last carry cannot overflow again.
    total.wrapping_add(usize::from(carry))
}

/// Copies `src` to `dst`, which are equally long (else only the common length), and sums what was copied.
///
/// Each word is loaded once, for both: where words are narrow, the loads are what counts.
pub(crate) fn copy_and_sum(dst: &mut [u8], src: &[u8]) -> Sum {
    let len = dst.len().min(src.len());
    let whole = len - len % (WORD * TURN);
    let (Some((to, dst)), Some((from, src))) = (dst.split_at_mut_checked(whole), src.split_at_checked(whole)) else {
        return Sum::default();
    };
    let (to, _) = to.as_chunks_mut::<WORD>().0.as_chunks_mut::<TURN>();
    let (from, _) = from.as_chunks::<WORD>().0.as_chunks::<TURN>();
    let mut total = 0;
    for (to, from) in to.iter_mut().zip(from) {
        // Word by word: an array as one value would be a call of `memcpy`.
        let &[a, b, c, d, e, f, g, h] = from;
        *to = [a, b, c, d, e, f, g, h];
        total = turn(total, from);
    }
    let (Some(dst), Some(src)) = (dst.get_mut(..len - whole), src.get(..len - whole)) else {
        return Sum::default();
    };
    dst.copy_from_slice(src);
    // Whole turns are an even offset.
    Sum::of_word(total).add(sum(src))
}
