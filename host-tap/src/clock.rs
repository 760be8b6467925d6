//! The stack's clock: microseconds since this object was made, on a clock that never steps back.

use ringtap::time::Instant;

/// CLOCK_MONOTONIC with a beginning of its own.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// Now.
    pub fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// How long until `at`, to the nanosecond; zero when it has passed.
    pub fn until(&self, at: Instant) -> std::time::Duration {
        let at = std::time::Duration::from_micros(at.as_micros());
        at.saturating_sub(self.start.elapsed())
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringtap::time::Duration;

    #[test]
    fn until_counts_down_to_zero_and_stays_there() {
        let clock = Clock::new();
        let soon = clock.now() + Duration::from_millis(2);
        assert!(clock.until(soon) <= std::time::Duration::from_millis(2));
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert!(clock.now() > soon);
        assert_eq!(clock.until(soon), std::time::Duration::ZERO);
    }
}
