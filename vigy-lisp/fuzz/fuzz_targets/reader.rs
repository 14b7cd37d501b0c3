#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigy_lisp_fuzz::targets::reader(data));
