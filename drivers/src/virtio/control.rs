//! The control queue: commands to the device, one at a time. VIRTIO 1.2 §5.1.6.5.

use super::queue::QueueMemory;
use crate::coherency::Coherency;
use crate::engine::LOOKS;
use crate::regs::look;
use crate::word::Word;
use ringtap::device::{Mac, Unsupported};

/// Class of receive modes, and the commands for promiscuous mode and all groups.
pub const RX: u8 = 0;
pub const RX_PROMISC: u8 = 0;
pub const RX_ALLMULTI: u8 = 1;
/// Class of address filtering, and the command that replaces the tables.
pub const MAC: u8 = 1;
pub const MAC_TABLE_SET: u8 = 0;

/// The status octet of a command that was carried out.
const OK: u8 = 0;
/// Another descriptor follows; the device writes.
const NEXT: u32 = 1;
const WRITE: u32 = 2;

/// Groups that a command can name.
const GROUPS: usize = 32;
/// Two octets of command, two tables with their lengths.
const COMMAND: usize = 2 + 4 + 4 + 6 * GROUPS;
const WORDS: usize = COMMAND.div_ceil(4);

/// The memory of the control queue: two descriptors, and the command itself.
#[derive(Debug)]
#[repr(C)]
pub struct ControlMemory {
    queue: QueueMemory<2>,
    command: [Word; WORDS],
    status: Word,
}

impl ControlMemory {
    /// Memory that is not in use.
    pub const fn new() -> Self {
        Self { queue: QueueMemory::new(), command: [const { Word::new(0) }; WORDS], status: Word::new(0) }
    }
}

impl Default for ControlMemory {
    fn default() -> Self {
        Self::new()
    }
}

/// The control queue.
pub struct Control<'d, C> {
    memory: &'d ControlMemory,
    coherency: C,
    /// A command was never answered: no further one is sent.
    stuck: bool,
}

/// The tables of addresses to receive: no further unicast, these groups.
///
/// # Errors
/// [`Unsupported`] when there are more than a command has room for.
pub fn table(groups: &[Mac]) -> Result<heapless::Vec<u8, { COMMAND - 2 }>, Unsupported> {
    let mut data = heapless::Vec::new();
    let count = u32::try_from(groups.len()).map_err(|_| Unsupported)?;
    for part in [&[0; 4], &count.to_le_bytes()].into_iter().map(|p| &p[..]).chain(groups.iter().map(|g| &g.0[..])) {
        data.extend_from_slice(part).map_err(|_| Unsupported)?;
    }
    Ok(data)
}

impl<'d, C: Coherency> Control<'d, C> {
    pub fn new(memory: &'d mut ControlMemory, coherency: C) -> Self {
        let mut control = Self { memory: &*memory, coherency, stuck: false };
        control.clear();
        control
    }

    pub fn memory(&self) -> &'d QueueMemory<2> {
        &self.memory.queue
    }

    fn clear(&mut self) {
        self.memory.queue.clear();
        self.stuck = false;
    }

    /// # Safety
    /// The device was reset.
    pub unsafe fn restart(&mut self) {
        self.clear();
    }

    /// Sends a command, tells the device by `notify`, and waits for the answer, a bounded time.
    ///
    /// # Errors
    /// [`Unsupported`] when the device refuses, does not answer, or the command is too long.
    pub fn command(&mut self, class: u8, command: u8, data: &[u8], notify: impl FnOnce()) -> Result<(), Unsupported> {
        let Self { memory, coherency, stuck } = self;
        if *stuck || data.len() > COMMAND - 2 {
            return Err(Unsupported);
        }
        let octets = || [class, command].into_iter().chain(data.iter().copied());
        for (i, word) in memory.command.iter().enumerate() {
            let mut four = [0; 4];
            octets().skip(4 * i).zip(&mut four).for_each(|(from, to)| *to = from);
            word.set(u32::from_le_bytes(four));
        }
        // Any other than the answers.
        memory.status.set(0xff);
        let command: *const u8 = memory.command.as_ptr().cast();
        let status: *const u8 = core::ptr::from_ref(&memory.status).cast();
        memory.queue.describe(0, command, 2 + data.len(), NEXT | 1 << 16);
        memory.queue.describe(1, status, 1, WRITE);
        let before = memory.queue.given_back();
        memory.queue.offer(0, || coherency.before_doorbell());
        coherency.before_doorbell();
        notify();
        *stuck = look(LOOKS, || memory.queue.given_back() != before).is_err();
        coherency.after_take();
        let answer = memory.status.get() as u8;
        if *stuck || answer != OK { Err(Unsupported) } else { Ok(()) }
    }
}
