//! Deadlines: one indexed heap for all timers.
