//! How long a busy loop stays awake.

/// Whether the loop looks at the device a few times more before it sleeps.
///
/// While packets come and go, the answer to what was just sent is seldom far, and to be woken costs as much as many looks.
/// Others get the processor between the looks, and no more than [`Linger::IN_A_ROW`] pass without a look at everything
/// else.
#[derive(Default)]
pub struct Linger {
    /// Looks in vain that are left.
    left: u32,
    in_a_row: u32,
}

impl Linger {
    const LOOKS: u32 = 8;
    const IN_A_ROW: u32 = 64;

    /// After a look that `moved` packets, or not.
    pub fn looks_again(&mut self, moved: bool) -> bool {
        self.left = if moved { Self::LOOKS } else { self.left.saturating_sub(1) };
        self.in_a_row = if self.left > 0 && self.in_a_row < Self::IN_A_ROW { self.in_a_row + 1 } else { 0 };
        self.in_a_row > 0
    }
}
