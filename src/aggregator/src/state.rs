//! What survives a restart: the decisions with their timers, the topics that were published, and who this instance
//! is. Written whole and swapped in, so that a power cut leaves the old file or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use whichroom_presence::Snapshot;
use whichroom_wire::{Id, Mac};

use crate::home_assistant::Owned;

const FILE: &str = "whichroom.state.json";
const VERSION: u32 = 1;
/// Unreadable files of one name that are kept, one after the other.
const ASIDE_MAX: u32 = 20;

/// Contents of the file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    /// Tells this aggregator from a second one of the same site.
    pub instance: Id,
    /// Wall clock at the time of writing; only ever shown.
    saved_at_ms: i64,
    /// Retained topics that are ours to remove.
    pub published: Vec<Owned>,
    /// The same on Home Assistant's own broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart: Option<Apart>,
    /// Decisions and timers; `None` before the first.
    pub snapshot: Option<Snapshot>,
    /// What the configured devices' addresses were called.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub host_names: BTreeMap<Mac, String>,
    /// Associations that last, for the history.
    #[serde(default)]
    pub roaming: Option<whichroom_roaming::Snapshot>,
}

/// What of ours lies on Home Assistant's own broker.
#[derive(Debug, Serialize, Deserialize)]
pub struct Apart {
    /// The broker's address: what lies on another is not ours to know.
    pub broker: String,
    pub published: Vec<Owned>,
}

impl Saved {
    /// Nothing yet, for an instance that starts for the first time.
    pub fn new(instance: Id) -> Saved {
        Saved {
            version: VERSION,
            instance,
            saved_at_ms: 0,
            published: Vec::new(),
            apart: None,
            snapshot: None,
            host_names: BTreeMap::new(),
            roaming: None,
        }
    }

    /// How long ago it was written, by the wall clock; for display only.
    pub fn age_ms(&self, now: Timestamp) -> u64 {
        u64::try_from(now.as_millisecond().saturating_sub(self.saved_at_ms)).unwrap_or(0)
    }
}

/// The file's place.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file in `directory`, which is made if it is missing.
    pub fn in_directory(directory: &Path) -> Result<StateFile, String> {
        fs::create_dir_all(directory).map_err(|error| {
            format!(
                "the state directory {} cannot be made: {error}; give another with --state",
                directory.display()
            )
        })?;
        Ok(StateFile { path: directory.join(FILE) })
    }

    /// What was saved, or a new beginning. A file that does not read is kept aside and said.
    pub fn load(&self) -> Result<Saved, String> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Saved::new(new_instance()?)),
            Err(error) => return Err(format!("{} cannot be read: {error}", self.path.display())),
        };
        match serde_json::from_str::<Saved>(&text) {
            Ok(saved) if saved.version == VERSION => Ok(saved),
            Ok(saved) => Err(format!(
                "{} has version {}, this release knows {VERSION}",
                self.path.display(),
                saved.version
            )),
            Err(error) => {
                keep_aside(&self.path, &error.to_string())?;
                Ok(Saved::new(new_instance()?))
            }
        }
    }

    /// Replaces the file.
    pub fn save(&self, saved: &mut Saved, now: Timestamp) -> io::Result<()> {
        saved.saved_at_ms = now.as_millisecond();
        replace(&self.path, &serde_json::to_vec(saved)?)
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        // It was joined to one.
        self.path.parent().unwrap_or(Path::new("."))
    }

    /// The file of this name beside it.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }
}

/// Replaces a file by one of these contents: a power cut leaves the old one or the new one. Who may read it stays.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let known = match fs::metadata(path) {
        Ok(known) => Some(known.permissions()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    replace_with(path, contents, known)
}

/// The same for what only its owner may read, whatever the file allowed before.
pub fn replace_secret(path: &Path, contents: &[u8]) -> io::Result<()> {
    replace_with(path, contents, Some(Permissions::from_mode(0o600)))
}

fn replace_with(path: &Path, contents: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let fresh = beside(path, ".new");
    let mut file = File::create(&fresh)?;
    // Before anything is in it.
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    // The name is on disk only once its directory is. A file of a bare name lies in the present one.
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// The file whose name is longer by `suffix`.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Renames a file that does not read, and says so. An earlier one that was kept aside stays, too.
pub fn keep_aside(path: &Path, why: &str) -> Result<(), String> {
    let name = |number: u32| match number {
        0 => beside(path, ".unreadable"),
        number => beside(path, &format!(".unreadable.{number}")),
    };
    let aside = (0..ASIDE_MAX).map(name).find(|aside| !aside.exists()).unwrap_or_else(|| name(ASIDE_MAX));
    log::error!("{} does not read ({why}); kept as {}, starting anew", path.display(), aside.display());
    fs::rename(path, &aside).map_err(|error| format!("{} cannot be renamed: {error}", path.display()))
}

/// Where state goes: as asked, as systemd says, the usual place if it can be written, else beside the configuration.
pub fn directory(asked: Option<PathBuf>, config_file: Option<&Path>) -> PathBuf {
    const USUAL: &str = "/var/lib/whichroom";
    let by_systemd = || std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
    let usual = || Some(PathBuf::from(USUAL)).filter(|directory| is_writable(directory));
    let beside = || config_file.map(|file| file.parent().unwrap_or(Path::new(".")).join("whichroom-state"));
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state/whichroom"));
    asked
        .or_else(by_systemd)
        .or_else(usual)
        .or_else(beside)
        .or_else(home)
        .unwrap_or_else(|| PathBuf::from("whichroom-state"))
}

fn is_writable(directory: &Path) -> bool {
    let probe = directory.join(".whichroom-probe");
    let written = File::create(&probe).is_ok();
    let _ = fs::remove_file(&probe);
    written
}

/// Eight random hexadecimal digits.
fn new_instance() -> Result<Id, String> {
    random_hex(4)?.parse().map_err(|_| "no random id".to_owned())
}

/// `bytes` random bytes as hexadecimal digits, from the kernel.
pub fn random_hex(bytes: usize) -> Result<String, String> {
    let mut random = vec![0; bytes];
    fill_random(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Random bytes, from the kernel.
pub fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut random = [0; N];
    fill_random(&mut random)?;
    Ok(random)
}

fn fill_random(random: &mut [u8]) -> Result<(), String> {
    let mut source = File::open("/dev/urandom").map_err(|error| format!("/dev/urandom: {error}"))?;
    source.read_exact(random).map_err(|error| format!("/dev/urandom: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Scratch {
            Scratch(std::env::temp_dir().join(format!("whichroom-{}", random_hex(8).unwrap())))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let scratch = Scratch::new();
        let file = StateFile::in_directory(&scratch.0).unwrap();
        let mut saved = file.load().unwrap();
        let topic = "whichroom/home/person/ada".to_owned();
        saved.published.push(Owned { topic, device: None });
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        file.save(&mut saved, now).unwrap();
        let loaded = file.load().unwrap();
        assert_eq!((loaded.instance, loaded.published), (saved.instance, saved.published));
        assert_eq!(Saved::new("x".parse().unwrap()).snapshot.is_none(), loaded.snapshot.is_none());
    }

    #[test]
    fn an_unreadable_file_is_kept_aside() {
        let scratch = Scratch::new();
        let file = StateFile::in_directory(&scratch.0).unwrap();
        fs::write(&file.path, "{\"version\":").unwrap();
        assert!(file.load().unwrap().snapshot.is_none());
        assert!(scratch.0.join("whichroom.state.json.unreadable").exists());
    }

    #[test]
    fn a_newer_file_is_refused_and_left_alone() {
        let scratch = Scratch::new();
        let file = StateFile::in_directory(&scratch.0).unwrap();
        let text = r#"{"version":9,"instance":"a","saved_at_ms":0,"published":[],"snapshot":null}"#;
        fs::write(&file.path, text).unwrap();
        assert!(file.load().unwrap_err().contains("version 9"));
        assert_eq!(fs::read_to_string(&file.path).unwrap(), text);
    }
}
