//! Replays the corpora of `tests/fuzz/corpus`. Each crate whose parsers are fuzzed includes this, so that what a fuzzer
//! found once is read again in every run of the tests.

use std::fs;
use std::path::Path;

/// Reads every input of each target. A target that has none, or that the fuzzer does not know, is a mistake.
pub(crate) fn corpora(targets: &[super::Target]) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (name, read) in targets {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is no program of the fuzzer");
        let program = fs::read_to_string(fuzz.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("::fuzzed::{name}(bytes)")), "{name} reads something else");
        let inputs: Vec<_> = fs::read_dir(fuzz.join("corpus").join(name)).unwrap().flatten().collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        read(b"");
        for input in inputs {
            // What fails is named by the last line before the panic.
            println!("{name}: {}", input.path().display());
            read(&fs::read(input.path()).unwrap());
        }
    }
}
