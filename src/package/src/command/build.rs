//! `whichroom-package build`: compiles the agent for every target, packs it for every architecture, indexes and signs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lexopt::prelude::*;
use whichroom_package::adb::container::Wrapping;
use whichroom_package::feed::{self, APK_KEY, Keys, OPKG_KEY, PackageFile};
use whichroom_package::layout::{self, NAME, Variant};
use whichroom_package::openwrt::Package;
use whichroom_package::targets::{self, TARGETS, Target};
use whichroom_package::{apk, elf, ipk};

use crate::command::compile::Compiler;
use crate::command::{
    Failure, default_out, find_root, keys, print, read_file, say, write_file, write_program,
};

const HELP: &str = "\
whichroom-package build: compiles the agent for access points and writes packages and signed feeds.

  --target T      one target: aarch64, armv7, mipsel, mips, x86_64, or an OpenWrt architecture such as mipsel_24kc;
                  repeatable (default all)
  --package P     one package: whichroom-agent or whichroom-agent-tls; repeatable (default both). A feed holds what
                  was built last
  --program FILE  packs this program instead of compiling; takes one --target, and one --package
  --out DIR       where to write (default target/packages): programs/, feed/
  --keys DIR      the feed's private keys, made where there are none (default target/packages/keys)
  --epoch N       the time all files get, in seconds since 1970 (default SOURCE_DATE_EPOCH, else the last commit's)
  --url URL       where the feed will be served, for the lines printed at the end
  --root DIR      WhichRoom's sources (default: here or above)
";

const LINES_HELP: &str = "\
whichroom-package lines URL: what to paste on an access point to install from the feed served at URL.
";

/// The folders of a build.
pub struct Out {
    folder: PathBuf,
}

impl Out {
    /// The folders below this one.
    pub fn new(folder: &Path) -> Out {
        Out { folder: folder.to_owned() }
    }

    /// The program of a target, under its package's name.
    pub fn program(&self, target: &Target, variant: Variant) -> PathBuf {
        self.folder.join("programs").join(target.triple).join(variant.package())
    }

    /// What is served.
    pub fn feed(&self) -> PathBuf {
        self.folder.join("feed")
    }

    /// opkg's part of the feed for an architecture.
    pub fn ipk(&self, architecture: &str) -> PathBuf {
        self.feed().join("ipk").join(architecture)
    }

    /// apk's part of the feed for an architecture.
    pub fn apk(&self, architecture: &str) -> PathBuf {
        self.feed().join("apk").join(architecture)
    }
}

#[derive(Default)]
struct Flags {
    targets: Vec<&'static Target>,
    variants: Vec<Variant>,
    program: Option<PathBuf>,
    out: Option<PathBuf>,
    keys: Option<PathBuf>,
    epoch_s: Option<u64>,
    url: Option<String>,
    root: Option<PathBuf>,
}

/// Runs the command.
pub fn main(args: lexopt::Parser) -> Result<(), Failure> {
    let Some(flags) = parse(args)? else { return print(HELP) };
    let root = match flags.root {
        Some(root) => root,
        None => find_root()?,
    };
    let out_folder = flags.out.unwrap_or_else(|| default_out(&root));
    let out = Out::new(&out_folder);
    let epoch_s = match flags.epoch_s {
        Some(epoch_s) => epoch_s,
        None => epoch(&root)?,
    };
    let files = layout::read_folder(&root.join("files/ap"))?;
    let targets = if flags.targets.is_empty() { TARGETS.iter().collect() } else { flags.targets };
    let variants = if flags.variants.is_empty() { Variant::ALL.to_vec() } else { flags.variants };
    // Refused before minutes of compiling, not after.
    for &variant in &variants {
        layout::agent(variant, &files, Vec::new(), VERSION, "all", epoch_s)?.apk()?;
    }
    let keys = keys::load(&flags.keys.unwrap_or_else(|| out_folder.join("keys")))?;
    let source = match &flags.program {
        Some(path) => Source::Given(path),
        None => Source::Compiled(Compiler::find(&root, &out_folder, epoch_s)?),
    };
    for target in targets {
        let mut programs = Vec::new();
        for &variant in &variants {
            let program = elf::prepare(source.program(target, variant)?, target.machine);
            let program = program.map_err(|problem| problem.at(target.triple))?;
            write_program(&out.program(target, variant), &program)?;
            say(&format!("{}: {}: {} bytes", target.name, variant.package(), program.len()));
            programs.push((variant, program));
        }
        for architecture in target.architectures {
            let packages = programs.iter().map(|(variant, program)| {
                layout::agent(*variant, &files, program.clone(), VERSION, architecture, epoch_s)
            });
            pack(&out, &keys, architecture, &packages.collect::<Result<Vec<_>, _>>()?)?;
        }
        say(&format!("{}: packed for {}", target.name, target.architectures.join(", ")));
    }
    write_file(&out.feed().join(OPKG_KEY), keys.opkg.public().render().as_bytes())?;
    write_file(&out.feed().join(APK_KEY), keys.apk.public().to_pem()?.as_bytes())?;
    print(&to_paste(&flags.url.unwrap_or_else(|| "http://SERVER/feed".to_owned())))
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn parse(mut args: lexopt::Parser) -> Result<Option<Flags>, Failure> {
    let mut flags = Flags::default();
    while let Some(argument) = args.next()? {
        match argument {
            Long("target") => {
                let name = args.value()?.string()?;
                let Some(target) = targets::find(&name) else {
                    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
                    return Err(Failure::usage(format!("--target {name}: there are {}", names.join(", "))));
                };
                if !flags.targets.contains(&target) {
                    flags.targets.push(target);
                }
            }
            Long("package") => {
                let name = args.value()?.string()?;
                let Some(variant) = Variant::ALL.into_iter().find(|variant| variant.package() == name) else {
                    let names = Variant::ALL.map(Variant::package).join(", ");
                    return Err(Failure::usage(format!("--package {name}: there are {names}")));
                };
                if !flags.variants.contains(&variant) {
                    flags.variants.push(variant);
                }
            }
            Long("program") => flags.program = Some(args.value()?.into()),
            Long("out") => flags.out = Some(args.value()?.into()),
            Long("keys") => flags.keys = Some(args.value()?.into()),
            Long("epoch") => flags.epoch_s = Some(args.value()?.parse()?),
            Long("url") => flags.url = Some(args.value()?.string()?),
            Long("root") => flags.root = Some(args.value()?.into()),
            Long("help") | Short('h') => return Ok(None),
            Short(_) | Long(_) | Value(_) => return Err(argument.unexpected().into()),
        }
    }
    if flags.program.is_some() && (flags.targets.len() != 1 || flags.variants.len() != 1) {
        return Err(Failure::usage(
            "--program is of one target and one package: say which with --target and --package",
        ));
    }
    Ok(Some(flags))
}

/// The time of what is built: given, or that of the last commit, so that the same commit gives the same bytes.
fn epoch(root: &Path) -> Result<u64, Failure> {
    if let Ok(text) = std::env::var("SOURCE_DATE_EPOCH") {
        return text
            .parse()
            .map_err(|_| Failure::usage(format!("SOURCE_DATE_EPOCH={text} is no number of seconds")));
    }
    let log = Command::new("git").arg("-C").arg(root).args(["log", "-1", "--format=%ct"]).output();
    let seconds = log.ok().and_then(|log| String::from_utf8(log.stdout).ok()?.trim().parse().ok());
    seconds.ok_or_else(|| {
        Failure::usage("there is no commit to take the time from: give --epoch or SOURCE_DATE_EPOCH")
    })
}

/// Where programs come from.
enum Source<'a> {
    Given(&'a Path),
    Compiled(Compiler),
}

impl Source<'_> {
    fn program(&self, target: &Target, variant: Variant) -> Result<Vec<u8>, Failure> {
        match self {
            Source::Given(path) => read_file(path, elf::PROGRAM_MAX as u64),
            Source::Compiled(compiler) => compiler.compile(target, variant),
        }
    }
}

/// Writes the packages of an architecture in both formats and their indexes, in place of those that were there.
fn pack(out: &Out, keys: &Keys, architecture: &str, packages: &[Package]) -> Result<(), Failure> {
    let (mut ipks, mut apks) = (Vec::new(), Vec::new());
    for package in packages {
        ipks.push((package.ipk_file_name(), ipk::write(&package.ipk()?)?));
        apks.push((package.apk_file_name(), apk::write(&package.apk()?, Wrapping::Deflate)?));
    }
    let folder = out.ipk(architecture);
    let index = feed::opkg_index(&write_packages(&folder, &ipks)?, &keys.opkg)?;
    write_file(&folder.join("Packages"), index.packages.as_bytes())?;
    write_file(&folder.join("Packages.gz"), &index.compressed)?;
    write_file(&folder.join("Packages.sig"), index.signature.as_bytes())?;

    let folder = out.apk(architecture);
    let index = feed::apk_index(&write_packages(&folder, &apks)?, &keys.apk)?;
    write_file(&folder.join("packages.adb"), &index)
}

/// Writes files into a folder and returns them as an index takes them.
fn write_packages<'a>(
    folder: &Path,
    files: &'a [(String, Vec<u8>)],
) -> Result<Vec<PackageFile<'a>>, Failure> {
    empty(folder)?;
    for (name, bytes) in files {
        write_file(&folder.join(name), bytes)?;
    }
    Ok(files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect())
}

/// Removes the files of an earlier build, and nothing else.
fn empty(folder: &Path) -> Result<(), Failure> {
    let Ok(entries) = folder.read_dir() else { return Ok(()) };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("Packages") || name == "packages.adb" || name.starts_with(NAME) {
            fs::remove_file(&path)
                .map_err(|error| Failure::run(format!("cannot remove {}: {error}", path.display())))?;
        }
    }
    Ok(())
}

/// Runs `lines`.
pub fn lines(mut args: lexopt::Parser) -> Result<(), Failure> {
    match args.next()? {
        Some(Value(url)) => print(&to_paste(&url.string()?)),
        Some(Long("help") | Short('h')) => print(LINES_HELP),
        Some(argument) => Err(argument.unexpected().into()),
        None => Err(Failure::usage(LINES_HELP)),
    }
}

fn to_paste(url: &str) -> String {
    format!(
        "On OpenWrt 19.07 to 24.10:\n\n{}\nOn OpenWrt 25.12 and later:\n\n{}",
        feed::opkg_lines(url, NAME),
        feed::apk_lines(url, NAME)
    )
}
