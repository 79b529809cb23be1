//! `whichroom-package sizes` and `report`: bytes of what was built, against what they may be.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lexopt::prelude::*;
use whichroom_package::layout::Variant;
use whichroom_package::targets::{PACKAGE_SIZE_MAX, TARGETS, TLS_SIZE_MAX, Target};

use crate::command::build::Out;
use crate::command::{Failure, default_out, find_root, print};

const HELP: &str = "\
whichroom-package sizes: one line a file that was built, separated by tabs: architecture, file, bytes.
whichroom-package report: the same with the most it may have, - for any number, and whether it has more; exit code 1
if one has. With --table: one line a processor, as the table of the README.

  --out DIR   where `build` wrote (default target/packages)
";

const TABLE: &str = "\
| processor | program | .ipk | .apk | with TLS: program | .ipk | .apk |
|---|---|---|---|---|---|---|
";

#[derive(Default)]
struct Flags {
    out: Option<PathBuf>,
    table: bool,
}

/// One file that was built.
struct Line {
    architecture: &'static str,
    file: String,
    bytes: u64,
    bytes_max: Option<u64>,
}

impl Line {
    fn is_over(&self) -> bool {
        self.bytes_max.is_some_and(|most| self.bytes > most)
    }
}

/// Runs `sizes`.
pub fn sizes(args: lexopt::Parser) -> Result<(), Failure> {
    let Some(flags) = parse(args)? else { return print(HELP) };
    if flags.table {
        return Err(Failure::usage("--table is for report"));
    }
    let out = out_of(flags)?;
    let mut text = String::new();
    for line in lines(&out)? {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}\t{}\t{}", line.architecture, line.file, line.bytes);
    }
    print(&text)
}

/// Runs `report`.
pub fn report(args: lexopt::Parser) -> Result<(), Failure> {
    let Some(flags) = parse(args)? else { return print(HELP) };
    let as_table = flags.table;
    let out = out_of(flags)?;
    if as_table {
        return print(&table(&out));
    }
    let mut text = String::new();
    let mut over = 0;
    for line in lines(&out)? {
        over += usize::from(line.is_over());
        let verdict = if line.is_over() { "over" } else { "ok" };
        let most = line.bytes_max.map_or("-".to_owned(), |most| most.to_string());
        // Writing to a String does not fail.
        let _ = writeln!(text, "{}\t{}\t{}\t{most}\t{verdict}", line.architecture, line.file, line.bytes);
    }
    print(&text)?;
    if over > 0 { Err(Failure::run(format!("files that are too large: {over}"))) } else { Ok(()) }
}

fn parse(mut args: lexopt::Parser) -> Result<Option<Flags>, Failure> {
    let mut flags = Flags::default();
    while let Some(argument) = args.next()? {
        match argument {
            Long("out") => flags.out = Some(PathBuf::from(args.value()?)),
            Long("table") => flags.table = true,
            Long("help") | Short('h') => return Ok(None),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    Ok(Some(flags))
}

fn out_of(flags: Flags) -> Result<Out, Failure> {
    let folder = match flags.out {
        Some(out) => out,
        None => default_out(&find_root()?),
    };
    Ok(Out::new(&folder))
}

/// One line a processor, of its first architecture: the others' packages differ by a few bytes.
fn table(out: &Out) -> String {
    let mut text = TABLE.to_owned();
    for target in &TARGETS {
        text.push_str(&format!("| {} |", target.name));
        for variant in Variant::ALL {
            let lines = target.architectures.first().map(|first| lines_of(out, target, first, variant));
            let lines = lines.unwrap_or_default();
            for extension in ["", ".ipk", ".apk"] {
                let file = format!("{}{extension}", variant.package());
                let line = lines.iter().find(|line| line.file == file);
                text.push_str(
                    &line.map_or(" - |".to_owned(), |line| format!(" {} |", kilobytes(line.bytes))),
                );
            }
        }
        text.push('\n');
    }
    text
}

/// Rounded to whole kilobytes.
fn kilobytes(bytes: u64) -> String {
    format!("{} kB", (bytes + 500) / 1_000)
}

fn lines(out: &Out) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    for target in &TARGETS {
        for architecture in target.architectures {
            for variant in Variant::ALL {
                lines.extend(lines_of(out, target, architecture, variant));
            }
        }
    }
    if lines.is_empty() {
        return Err(Failure::run("nothing is built yet: whichroom-package build"));
    }
    Ok(lines)
}

/// The lines of one package of an architecture.
fn lines_of(out: &Out, target: &Target, architecture: &'static str, variant: Variant) -> Vec<Line> {
    let name = variant.package();
    let (program_max, package_max) = match variant {
        Variant::Plain => (target.size_max, Some(PACKAGE_SIZE_MAX)),
        Variant::Tls => (TLS_SIZE_MAX, None),
    };
    let ipk = package_file(&out.ipk(architecture), &format!("{name}_"), "ipk");
    let apk = package_file(&out.apk(architecture), &format!("{name}-"), "apk");
    // The same program stands in the packages of all its architectures; it is listed with each of them.
    let program = ipk.as_ref().and(Some(out.program(target, variant)));
    let files = [
        (name.to_owned(), program, Some(program_max)),
        (format!("{name}.ipk"), ipk, package_max),
        (format!("{name}.apk"), apk, package_max),
    ];
    let line = |(file, path, bytes_max): (String, Option<PathBuf>, Option<u64>)| {
        Some(Line { architecture, file, bytes: path?.metadata().ok()?.len(), bytes_max })
    };
    files.into_iter().filter_map(line).collect()
}

/// The file of a package in a folder, of which a build leaves one: its version follows the name.
fn package_file(folder: &Path, start: &str, extension: &str) -> Option<PathBuf> {
    let mut files: Vec<PathBuf> =
        folder.read_dir().ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let version = name.strip_prefix(start).unwrap_or_default();
        version.starts_with(|first: char| first.is_ascii_digit())
            && path.extension().is_some_and(|found| found == extension)
    });
    files.sort();
    files.pop()
}
