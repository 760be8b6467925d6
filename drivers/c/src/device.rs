//! A network card of C callbacks, as a device of the stack.

use core::ffi::{c_int, c_void};
use ringtap::device::{Capabilities, Device as Card, Link, Medium, RxMeta, TxMeta};
use ringtap::frame::{Frame, Pool};

/// Ethernet's IP MTU, and a whole frame.
const MTU: usize = 1500;
const LONGEST: usize = MTU + 14;

/// `struct ringtap_device`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Device {
    context: *mut c_void,
    receive: Option<unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> usize>,
    send: Option<unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int>,
    link: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
}

/// The same, with a pool, and known to have what it needs.
pub(crate) struct Callbacks {
    context: *mut c_void,
    receive: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> usize,
    send: unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int,
    link: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    pool: Pool<'static>,
}

impl Callbacks {
    /// `None` without a way to receive and to send.
    pub fn new(device: Device, pool: Pool<'static>) -> Option<Self> {
        let Device { context, receive, send, link } = device;
        Some(Self { context, receive: receive?, send: send?, link, pool })
    }
}

impl Card<'static> for Callbacks {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(Medium::Ethernet, MTU)
    }

    fn pool(&self) -> Pool<'static> {
        self.pool
    }

    /// With the pool empty, what has come waits at the card.
    fn receive(&mut self) -> Option<(Frame<'static>, RxMeta)> {
        let mut frame = self.pool.take(0)?;
        let room = frame.append(LONGEST)?;
        // SAFETY: the callback was given with this context, for calls until the stack's end; it has so much room.
        let len = unsafe { (self.receive)(self.context, room.as_mut_ptr(), room.len()) };
        if len == 0 || len > LONGEST {
            return None;
        }
        frame.truncate(len);
        Some((frame, RxMeta::default()))
    }

    fn transmit(&mut self, frame: Frame<'static>, _: TxMeta) -> Result<(), Frame<'static>> {
        // SAFETY: as above; so many octets are there to be read.
        match unsafe { (self.send)(self.context, frame.as_ptr(), frame.len()) } {
            0 => Ok(()),
            _ => Err(frame),
        }
    }

    fn link(&self) -> Link {
        // SAFETY: as above.
        match self.link.map(|link| unsafe { link(self.context) }) {
            Some(0) => Link::Down,
            _ => Link::Up,
        }
    }
}
