//! The inner loops, written out for Cortex-M3 and later.
//!
//! Firmware is compiled for size, which leaves loops as they are: each word would cost its share of the loop, and the carry
//! a register. Eight words in a row are a load and an addition with carry each.
#![cfg_attr(
    not(any(test, all(target_arch = "arm", target_has_atomic = "ptr", not(target_has_atomic = "64")))),
    expect(dead_code, reason = "see `loops`")
)]

use super::{Sum, WORD, sum};

/// Words per turn.
pub(super) const TURN: usize = 8;

/// A chain over one turn's words.
#[inline]
pub(super) fn turn(total: usize, words: &Turn) -> usize {
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
    let (turns, dst, src) = in_turns(dst, src);
    let total = turns.fold(0, |total, (to, from)| {
        *to = one_by_one(from);
        turn(total, from)
    });
    dst.copy_from_slice(src);
    // Whole turns are an even offset.
    Sum::of_word(total).add(sum(src))
}

/// Copies `src` to `dst`, which are equally long.
///
/// The `memcpy` that comes with the compiler takes twice the instructions, and more where both are not aligned alike, as
/// text behind an Ethernet header is not.
pub(crate) fn copy(dst: &mut [u8], src: &[u8]) {
    let (turns, dst, src) = in_turns(dst, src);
    for (to, from) in turns {
        *to = one_by_one(from);
    }
    dst.copy_from_slice(src);
}

type Turn = [[u8; WORD]; TURN];

/// The turns that both have in common, and what is left of either, equally long.
#[inline]
fn in_turns<'d, 's>(
    dst: &'d mut [u8],
    src: &'s [u8],
) -> (impl Iterator<Item = (&'d mut Turn, &'s Turn)>, &'d mut [u8], &'s [u8]) {
    let len = dst.len().min(src.len());
    let whole = len - len % size_of::<Turn>();
    let (dst, src) = (dst.get_mut(..len).unwrap_or_default(), src.get(..len).unwrap_or_default());
    let (to, dst) = dst.split_at_mut_checked(whole).unwrap_or_default();
    let (from, src) = src.split_at_checked(whole).unwrap_or_default();
    let to = to.as_chunks_mut::<WORD>().0.as_chunks_mut::<TURN>().0;
    let from = from.as_chunks::<WORD>().0.as_chunks::<TURN>().0;
    (to.iter_mut().zip(from), dst, src)
}

/// A copy, word by word: an array as one value would be a call of `memcpy`.
#[inline]
fn one_by_one(from: &Turn) -> Turn {
    let &[a, b, c, d, e, f, g, h] = from;
    [a, b, c, d, e, f, g, h]
}
