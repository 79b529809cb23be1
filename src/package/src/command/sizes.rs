//! `whichroom-package sizes` and `report`: bytes of what was built, against what they may be.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lexopt::prelude::*;
use whichroom_package::layout::NAME;
use whichroom_package::targets::{PACKAGE_SIZE_MAX, TARGETS};

use crate::command::build::Out;
use crate::command::{Failure, default_out, find_root, print};

const HELP: &str = "\
whichroom-package sizes: one line a file that was built, separated by tabs: architecture, file, bytes.
whichroom-package report: the same with the most it may have and whether it has; exit code 1 if one has more.

  --out DIR   where `build` wrote (default target/packages)
";

/// One file that was built.
struct Line {
    architecture: &'static str,
    file: String,
    bytes: u64,
    bytes_max: u64,
}

/// Runs `sizes`.
pub fn sizes(args: lexopt::Parser) -> Result<(), Failure> {
    let Some(out) = parse(args)? else { return print(HELP) };
    let mut text = String::new();
    for line in lines(&Out::new(&out))? {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}\t{}\t{}", line.architecture, line.file, line.bytes);
    }
    print(&text)
}

/// Runs `report`.
pub fn report(args: lexopt::Parser) -> Result<(), Failure> {
    let Some(out) = parse(args)? else { return print(HELP) };
    let mut text = String::new();
    let mut over = 0;
    for Line { architecture, file, bytes, bytes_max } in lines(&Out::new(&out))? {
        over += usize::from(bytes > bytes_max);
        let verdict = if bytes > bytes_max { "over" } else { "ok" };
        // Writing to a String does not fail.
        let _ = writeln!(text, "{architecture}\t{file}\t{bytes}\t{bytes_max}\t{verdict}");
    }
    print(&text)?;
    if over > 0 { Err(Failure::run(format!("files that are too large: {over}"))) } else { Ok(()) }
}

fn parse(mut args: lexopt::Parser) -> Result<Option<PathBuf>, Failure> {
    let mut out = None;
    while let Some(argument) = args.next()? {
        match argument {
            Long("out") => out = Some(PathBuf::from(args.value()?)),
            Long("help") | Short('h') => return Ok(None),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    match out {
        Some(out) => Ok(Some(out)),
        None => find_root().map(|root| Some(default_out(&root))),
    }
}

fn lines(out: &Out) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for target in &TARGETS {
        for &architecture in target.architectures {
            let mut add = |file: &str, path: Option<PathBuf>, bytes_max| {
                let bytes = path.and_then(|path| Some(path.metadata().ok()?.len()));
                lines.extend(bytes.map(|bytes| Line {
                    architecture,
                    file: file.to_owned(),
                    bytes,
                    bytes_max,
                }));
            };
            let ipk = only_file(&out.ipk(architecture), "ipk");
            let apk = only_file(&out.apk(architecture), "apk");
            // The same program stands in the packages of all its architectures; it is listed with each of them.
            let program = ipk.as_ref().and(Some(out.program(target)));
            add(NAME, program, target.size_max);
            add(&format!("{NAME}.ipk"), ipk, PACKAGE_SIZE_MAX);
            add(&format!("{NAME}.apk"), apk, PACKAGE_SIZE_MAX);
        }
    }
    if lines.is_empty() {
        return Err(Failure::run("nothing is built yet: whichroom-package build"));
    }
    Ok(lines)
}

/// The file of this kind in a folder; a build leaves one.
fn only_file(folder: &Path, extension: &str) -> Option<PathBuf> {
    let mut files: Vec<PathBuf> =
        folder.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files.pop()
}
