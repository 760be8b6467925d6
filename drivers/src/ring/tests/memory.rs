//! Memory as a DMA engine and a processor with a data cache see it.
//!
//! The octets of the pool are what the *processor* sees; `ram` is what the *DMA engine* sees. A line that differs from
//! `synced` is dirty; a line that is `present` hides what the DMA engine writes.

extern crate std;
use ringtap::frame::Pool;
use std::vec::Vec;

/// Octets of a line of the model's cache.
pub const LINE: usize = 32;

#[derive(Clone)]
struct Line {
    present: bool,
    /// What the processor saw when the line was last filled or written back.
    synced: [u8; LINE],
}

/// A pool's memory.
pub struct Memory {
    base: *mut u8,
    ram: Vec<u8>,
    /// Empty where memory is coherent.
    lines: Vec<Line>,
}

impl Memory {
    pub fn new(pool: Pool<'_>, cached: bool) -> Self {
        let (base, len) = pool.memory();
        let lines = if cached { len / LINE } else { 0 };
        Self {
            base,
            ram: (0..len).map(|_| 0).collect(),
            lines: (0..lines).map(|i| Line { present: i % 2 == 0, synced: [0; LINE] }).collect(),
        }
    }

    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    fn cpu(&self, line: usize) -> [u8; LINE] {
        // SAFETY: inside of the pool's memory, of which no reference is alive while the model runs.
        unsafe { self.base.add(line * LINE).cast::<[u8; LINE]>().read() }
    }

    fn set_cpu(&mut self, line: usize, to: [u8; LINE]) {
        // SAFETY: as above.
        unsafe { self.base.add(line * LINE).cast::<[u8; LINE]>().write(to) };
    }

    fn ram(&self, line: usize) -> [u8; LINE] {
        self.ram[line * LINE..][..LINE].try_into().expect("a line")
    }

    fn is_dirty(&self, line: usize) -> bool {
        self.cpu(line) != self.lines[line].synced
    }

    /// The lines that octets `start..start + len` touch.
    fn lines_of(&self, start: *const u8, len: usize) -> std::ops::Range<usize> {
        let offset = start.addr() - self.base.addr();
        assert!(offset + len <= self.ram.len(), "maintenance outside of the pool");
        offset / LINE..(offset + len).div_ceil(LINE)
    }

    /// The processor writes its dirty lines back.
    pub fn clean(&mut self, start: *const u8, len: usize) {
        for line in self.lines_of(start, len) {
            self.write_back(line);
        }
    }

    fn write_back(&mut self, line: usize) {
        if self.is_dirty(line) {
            let now = self.cpu(line);
            self.ram[line * LINE..][..LINE].copy_from_slice(&now);
            self.lines[line] = Line { present: true, synced: now };
        }
    }

    /// The processor forgets its lines.
    pub fn invalidate(&mut self, start: *const u8, len: usize) {
        for line in self.lines_of(start, len) {
            self.forget(line);
        }
    }

    fn forget(&mut self, line: usize) {
        let now = self.ram(line);
        self.set_cpu(line, now);
        self.lines[line] = Line { present: false, synced: now };
    }

    /// The cache needs the room: a dirty line is written back whenever it likes.
    pub fn evict(&mut self, line: usize) {
        self.write_back(line);
        self.forget(line);
    }

    /// The processor fetches ahead: any line may come into the cache at any time.
    pub fn fetch(&mut self, line: usize) {
        self.lines[line].present = true;
    }

    /// The DMA engine writes.
    pub fn dma_write(&mut self, to: *mut u8, data: &[u8]) {
        if self.lines.is_empty() {
            // SAFETY: the descriptor named this buffer, and lent at least as many octets.
            unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
            return;
        }
        let offset = to.addr() - self.base.addr();
        self.ram[offset..][..data.len()].copy_from_slice(data);
        for line in self.lines_of(to, data.len()) {
            if !self.lines[line].present && !self.is_dirty(line) {
                self.forget(line);
            }
        }
    }

    /// The DMA engine reads.
    pub fn dma_read(&self, from: *const u8, len: usize) -> Vec<u8> {
        if self.lines.is_empty() {
            // SAFETY: the descriptor named this buffer, with this length.
            return unsafe { core::slice::from_raw_parts(from, len) }.to_vec();
        }
        self.ram[from.addr() - self.base.addr()..][..len].to_vec()
    }
}
