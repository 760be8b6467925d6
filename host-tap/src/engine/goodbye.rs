//! The end of the loop: what the link was told of names is taken back, and leases are given back.

use super::{BUDGET, Core, Engine};
use ringtap::time::Duration;

/// How long servers, and who leads to them, may take to hear of it.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often it is looked whether they have.
const STEP: std::time::Duration = std::time::Duration::from_millis(2);

impl Engine {
    pub(super) fn say_goodbye(&mut self) {
        let mut core = self.shared.lock_for_loop();
        let Core { stack, names, .. } = &mut *core;
        names.close(stack);
        let now = self.clock.now();
        let by = now + PATIENCE;
        self.automatic.release(stack, now);
        loop {
            let now = self.clock.now();
            let _ = stack.poll(now, self.iface, &mut *self.device, BUDGET);
            if now >= by || self.device.device().failure().is_some() || self.automatic.is_released(stack, now) {
                return;
            }
            std::thread::sleep(STEP);
        }
    }
}
