//! The language of vigies.
#![no_std]
