//! Every input that is kept: the seeds of the fuzzers, and what they have found before.

use std::fs;
use std::path::Path;

use teeline_fuzz_targets::Target;

#[test]
fn what_is_kept_breaks_no_promise() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    for target in Target::ALL {
        let mut seeds = 0;
        for kept in ["corpus", "findings"] {
            let Ok(inputs) = fs::read_dir(fuzz.join(kept).join(target.name)) else {
                continue;
            };
            for input in inputs {
                let path = input.unwrap().path();
                let bytes = fs::read(&path).unwrap();
                // Where the process ends here, this says by which.
                println!("{}", path.display());
                target.run(&bytes);
                seeds += 1;
            }
        }
        assert!(seeds > 0, "{} has seeds", target.name);
    }
}
