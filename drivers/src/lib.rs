//! MAC drivers on DMA descriptor rings.
#![no_std]
