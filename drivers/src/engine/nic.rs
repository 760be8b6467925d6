//! The device made of an engine and two rings.

use super::stamp::Stamps;
use super::{Engine, Events, Filter, Rings, SentAt, SetupError};
use crate::coherency::Coherency;
use crate::hash;
use crate::interrupt::Attention;
use crate::nic::{Counters, Nic};
use crate::phy::{Mdio, Mode, Phy, PhyError, Speed};
use crate::regs::{Clock, Timeout};
use crate::ring::{RxDescriptor, RxRing, TxDescriptor, TxRing};
use crate::{ETHERNET_HEADER, MIN_MTU};
use core::task::Waker;
use ringtap::device::{Capabilities, Device, Link, Mac, Medium, RxChecksum, RxMeta, TxMeta, Unsupported};
use ringtap::frame::{Frame, Pool};
use ringtap::time::Instant;

/// What a device is made for.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The station's address.
    pub mac: Mac,
    /// The largest IP packet, in octets.
    pub ip_mtu: usize,
    /// Octets left free in front of received packets; must keep the buffers aligned as the hardware wants them.
    pub headroom: usize,
}

impl Setup {
    /// An address, an MTU of 1500 octets, no headroom.
    pub const fn new(mac: Mac) -> Self {
        Self { mac, ip_mtu: 1500, headroom: 0 }
    }
}

/// Where the engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// Stopped, after a fault or for another mode; what was received is handed out before it starts anew.
    Paused,
    /// Nothing helps any more.
    Dead,
}

/// A network card: an engine and its rings.
pub struct RingNic<'d, 'p, E: Engine, C, const RX: usize, const TX: usize> {
    engine: E,
    rx: RxRing<'d, 'p, E::Rx, C, RX>,
    tx: TxRing<'d, 'p, E::Tx, C, TX>,
    pool: Pool<'p>,
    setup: Setup,
    filter: Filter,
    mode: Mode,
    /// Without one, the link is taken to be up.
    phy: Option<Phy>,
    attention: Option<&'static Attention>,
    stamps: Stamps,
    state: State,
    overruns: u32,
    faults: u32,
}

impl<'d, 'p, E: Engine, C: Coherency + Clone, const RX: usize, const TX: usize> RingNic<'d, 'p, E, C, RX, TX> {
    /// A device that runs, with interrupts masked.
    ///
    /// The descriptors must lie in memory that the data cache does not hold; the pool may lie in cached memory where `C`
    /// knows of it. The pool should have some frames more than `RX`.
    ///
    /// # Errors
    /// A [`SetupError`]; the frames are back in the pool then.
    ///
    /// # Safety
    /// The engine's registers are those of a MAC that nobody else uses. Descriptors and pool lie where its DMA engine
    /// reaches them at the addresses that the processor uses.
    pub unsafe fn new(
        mut engine: E,
        rx: &'d mut [E::Rx; RX],
        tx: &'d mut [E::Tx; TX],
        coherency: C,
        pool: Pool<'p>,
        setup: Setup,
    ) -> Result<Self, SetupError> {
        if !setup.mac.is_station() {
            return Err(SetupError::Address);
        }
        let tx = TxRing::new(tx, coherency.clone())?;
        let rx = RxRing::new(rx, coherency, pool, setup.headroom)?;
        let room = (rx.capacity().saturating_sub(E::TRAILER)).min(E::Tx::MAX_LEN);
        let begun = if !(MIN_MTU..=room.saturating_sub(ETHERNET_HEADER)).contains(&setup.ip_mtu) {
            Err(SetupError::Mtu)
        } else {
            engine.init(&rings(&rx, &tx, setup.mac)).map_err(|_| SetupError::Reset)
        };
        if let Err(error) = begun {
            // SAFETY: the engine was not started; one that is stuck in its reset does not run either.
            unsafe { (rx.release(), tx.release()) };
            return Err(error);
        }
        let mut nic = Self {
            engine,
            rx,
            tx,
            pool,
            setup,
            filter: Filter::default(),
            mode: Mode::DEFAULT,
            phy: None,
            attention: None,
            stamps: Stamps::default(),
            state: State::Running,
            overruns: 0,
            faults: 0,
        };
        nic.run();
        Ok(nic)
    }

    /// Starts the PHY at `address`, or the first one that answers, and follows its link from now on. Without a PHY the
    /// link is taken to be up, at 100 Mbit/s and full duplex.
    ///
    /// Returns within two seconds on `clock`, whatever the PHY does.
    ///
    /// # Errors
    /// [`PhyError`] when nobody is there, or it does not become ready. The device stays as it was.
    pub fn start_phy(&mut self, address: Option<u8>, max: Speed, clock: Clock<'_>) -> Result<(), PhyError> {
        self.phy = Some(Phy::start(&mut Management(&mut self.engine), address, max, clock)?);
        Ok(())
    }

    /// Works by interrupts from now on: the handler masks the engine's ([`Engine::interrupts`], by a second handle to
    /// the registers) and then raises `attention`.
    pub fn set_attention(&mut self, attention: &'static Attention) {
        self.attention = Some(attention);
        attention.raise();
    }

    /// The engine, for what only this MAC can do.
    pub fn engine(&mut self) -> &mut E {
        &mut self.engine
    }

    /// Whether received packets have time stamps ([`RxMeta::timestamp`]), and sent frames have them for the asking.
    pub fn stamps(&self) -> bool {
        self.engine.stamps()
    }

    /// What the clock of the time stamps says; it begins anew when the engine has to be reset. `None` without one.
    pub fn clock(&mut self) -> Option<Instant> {
        self.engine.clock()
    }

    /// When the oldest frame was sent that asked for it ([`TxMeta::timestamp`]) and was not told of yet. The last four are
    /// kept; a device without [`stamps`](Self::stamps) has none.
    pub fn sent_at(&mut self) -> Option<SentAt> {
        self.reclaim();
        self.stamps.pop()
    }

    /// Returns frames that were sent to the pool; how many.
    fn reclaim(&mut self) -> usize {
        let Self { engine, tx, stamps, .. } = self;
        tx.reclaim_stamped(|part| stamps.push(part.and_then(|part| engine.whole_time(part))))
    }

    /// Times that the engine had to be reset after a fault.
    pub fn faults(&self) -> u32 {
        self.faults
    }

    /// The receive ring, to look at.
    pub fn rx(&self) -> &RxRing<'d, 'p, E::Rx, C, RX> {
        &self.rx
    }

    /// The transmit ring, to look at.
    pub fn tx(&self) -> &TxRing<'d, 'p, E::Tx, C, TX> {
        &self.tx
    }

    /// Starts an engine that was just initialised.
    fn run(&mut self) {
        self.engine.set_mode(self.mode);
        self.engine.set_filter(&self.filter);
        self.state = State::Running;
        let _ = (self.rx.take_kick(), self.tx.take_kick());
        self.engine.start();
        self.engine.kick_rx(self.rx.ring().head());
        if let Some(attention) = self.attention {
            // A reset masks interrupts: the next look that finds nothing lets them through.
            attention.raise();
        }
    }

    /// Tells the engine of descriptors that were given to it.
    fn kick(&mut self) {
        if self.state != State::Running {
            return;
        }
        if self.rx.take_kick() {
            self.engine.kick_rx(self.rx.ring().head());
        }
        if self.tx.take_kick() {
            let ring = self.tx.ring();
            self.engine.kick_tx((ring.head() + ring.used()) % TX, ring.used());
        }
        if E::TX_STOPS {
            // What was sent is out of the way then: the oldest frame is one that the engine has still to send.
            self.reclaim();
            let ring = self.tx.ring();
            if ring.used() > 0 {
                self.engine.resume_tx(ring.head(), ring.is_full());
            }
        }
    }

    /// The next packet. With none left, the engine's events are acknowledged and its interrupts are let through.
    fn take(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        let Some(attention) = self.attention else {
            return self.rx.receive();
        };
        let rearm = |nic: &mut Self| {
            let events = nic.engine.events(nic.rx.ring().head(), nic.tx.ring().used());
            nic.engine.interrupts(true);
            nic.note(events);
        };
        attention.drain(self, |nic| nic.rx.receive(), rearm)
    }

    fn note(&mut self, events: Events) {
        let Events { overruns, fault } = events;
        self.overruns = self.overruns.wrapping_add(overruns);
        if fault && self.state == State::Running {
            self.faults = self.faults.wrapping_add(1);
            self.pause();
        }
    }

    /// Stops the engine; it starts anew once what was received is handed out.
    fn pause(&mut self) {
        self.state = if self.engine.stop().is_ok() { State::Paused } else { State::Dead };
    }

    /// Nothing was received: time to look at the engine itself.
    fn service(&mut self) {
        match self.state {
            State::Dead => {}
            State::Paused => self.restart(),
            State::Running => {
                self.kick();
                if self.attention.is_none() {
                    let events = self.engine.events(self.rx.ring().head(), self.tx.ring().used());
                    self.note(events);
                }
            }
        }
    }

    /// Out of a pause; the receive ring has nothing that was not handed out.
    fn restart(&mut self) {
        self.reclaim();
        (0..self.tx.asked()).for_each(|_| self.stamps.push(None));
        // SAFETY: `service` has stopped the engine.
        unsafe {
            self.rx.restart();
            self.tx.restart();
        }
        match self.engine.init(&rings(&self.rx, &self.tx, self.setup.mac)) {
            Ok(()) => self.run(),
            Err(_) => self.state = State::Dead,
        }
    }
}

/// The engine as the bus to its PHYs.
struct Management<'e, E>(&'e mut E);

impl<E: Engine> Mdio for Management<'_, E> {
    fn read(&mut self, phy: u8, register: u8) -> Result<u16, Timeout> {
        self.0.mdio_read(phy, register)
    }

    fn write(&mut self, phy: u8, register: u8, value: u16) -> Result<(), Timeout> {
        self.0.mdio_write(phy, register, value)
    }
}

fn rings<'p, R, T, C, const RX: usize, const TX: usize>(
    rx: &RxRing<'_, 'p, R, C, RX>,
    tx: &TxRing<'_, 'p, T, C, TX>,
    mac: Mac,
) -> Rings
where
    R: RxDescriptor,
    T: TxDescriptor,
    C: Coherency,
{
    Rings {
        rx: rx.ring().descriptors().as_ptr().cast(),
        rx_count: RX,
        tx: tx.ring().descriptors().as_ptr().cast(),
        tx_count: TX,
        capacity: rx.capacity(),
        mac,
    }
}

impl<'p, E: Engine, C: Coherency + Clone, const RX: usize, const TX: usize> Device<'p>
    for RingNic<'_, 'p, E, C, RX, TX>
{
    fn capabilities(&self) -> Capabilities {
        Capabilities { checksum: self.engine.checksum(), ..Capabilities::plain(Medium::Ethernet, self.setup.ip_mtu) }
    }

    fn pool(&self) -> Pool<'p> {
        self.pool
    }

    fn receive(&mut self) -> Option<(Frame<'p>, RxMeta)> {
        if self.state == State::Dead {
            return None;
        }
        self.reclaim();
        let Some((frame, mut meta)) = self.take() else {
            self.service();
            return None;
        };
        if !self.engine.verifies() {
            meta.checksum = RxChecksum::None;
        }
        meta.timestamp = meta.timestamp.and_then(|part| self.engine.whole_time(part));
        Some((frame, meta))
    }

    fn transmit(&mut self, mut frame: Frame<'p>, mut meta: TxMeta) -> Result<(), Frame<'p>> {
        if self.state != State::Running {
            return Err(frame);
        }
        if self.tx.ring().is_full() && self.reclaim() == 0 {
            return Err(frame);
        }
        meta.timestamp &= E::Tx::STAMPS && self.engine.stamps();
        self.engine.prepare(&mut frame, &meta);
        self.tx.transmit(frame, &meta)
    }

    fn flush(&mut self) {
        self.kick();
    }

    fn link(&self) -> Link {
        match &self.phy {
            _ if self.state == State::Dead => Link::Down,
            Some(phy) => phy.link(),
            None => Link::Up,
        }
    }

    fn register_waker(&mut self, waker: &Waker) {
        if let Some(attention) = self.attention {
            attention.register(waker);
        }
    }

    fn set_multicast_filter(&mut self, groups: &[Mac]) -> Result<(), Unsupported> {
        self.filter.hashes = hash::filter(groups, E::hash);
        self.engine.set_filter(&self.filter);
        Ok(())
    }

    fn receive_all_groups(&mut self) -> Result<(), Unsupported> {
        self.filter.hashes = [u32::MAX; 2];
        self.engine.set_filter(&self.filter);
        Ok(())
    }

    fn set_promiscuous(&mut self, on: bool) -> Result<(), Unsupported> {
        if on && !E::PROMISCUOUS {
            return Err(Unsupported);
        }
        self.filter.promiscuous = on;
        self.engine.set_filter(&self.filter);
        Ok(())
    }
}

impl<'p, E: Engine, C: Coherency + Clone, const RX: usize, const TX: usize> Nic<'p> for RingNic<'_, 'p, E, C, RX, TX> {
    fn mac(&self) -> Mac {
        self.setup.mac
    }

    fn tend(&mut self, now: Instant) -> Link {
        if let Some(phy) = &mut self.phy
            && phy.tend(&mut Management(&mut self.engine), now)
            && let Some(mode) = phy.mode()
            && mode != self.mode
        {
            self.mode = mode;
            if !E::MODE_RESTARTS {
                self.engine.set_mode(mode);
            } else if self.state == State::Running {
                self.pause();
            }
        }
        self.link()
    }

    fn counters(&self) -> Counters {
        let (rx, tx) = (self.rx.counters(), self.tx.counters());
        Counters {
            rx_packets: rx.packets,
            rx_no_frame: rx.no_frame,
            rx_errors: rx.dropped().wrapping_sub(rx.no_frame),
            rx_overruns: self.overruns,
            tx_packets: tx.packets,
            tx_errors: [tx.errors, tx.unsendable, tx.abandoned].into_iter().fold(0, u32::wrapping_add),
            link_changes: self.phy.as_ref().map_or(0, Phy::changes),
        }
    }

    fn stop(mut self) {
        if self.engine.stop().is_ok() {
            // SAFETY: the engine has stopped.
            unsafe {
                self.rx.release();
                self.tx.release();
            }
        }
        // Otherwise the frames are lost: an engine that does not stop may write into them.
    }
}
