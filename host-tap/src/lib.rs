//! ringtap on Linux.
