#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| teeline_fuzz_targets::CONFIGURATION.run(input));
