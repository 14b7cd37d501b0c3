//! The tick.
#![no_std]
