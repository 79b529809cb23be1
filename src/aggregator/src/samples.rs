//! Calibration samples on disk: `calibration.json` in the state directory, a file of its own because it is worth more
//! than the rest: presence is found again within minutes, samples took somebody a walk through the house.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use whichroom_presence::calibration::{Sample, Samples};

use crate::state::{StateFile, keep_aside, replace};

const FILE: &str = "calibration.json";
const VERSION: u32 = 1;

/// Contents of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    version: u32,
    /// Ids are not used again.
    next_id: u32,
    samples: Vec<Sample>,
}

/// The file's place.
#[derive(Debug, Clone)]
pub struct SampleFile {
    path: PathBuf,
}

impl SampleFile {
    /// The file beside the state.
    pub fn beside(state: &StateFile) -> SampleFile {
        SampleFile { path: state.beside(FILE) }
    }

    /// The samples that were kept. A file that does not read is kept aside and said; one of a newer release is refused.
    pub fn load(&self) -> Result<Samples, String> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Samples::default()),
            Err(error) => return Err(format!("{} cannot be read: {error}", self.path.display())),
        };
        match serde_json::from_slice::<Saved>(&text) {
            Ok(saved) if saved.version == VERSION => Ok(Samples::restored(saved.next_id, saved.samples)),
            Ok(saved) => Err(self.newer(saved.version)),
            Err(error) => match version_of(&text) {
                Some(version) if version != VERSION => Err(self.newer(version)),
                Some(_) | None => {
                    keep_aside(&self.path, &error.to_string())?;
                    Ok(Samples::default())
                }
            },
        }
    }

    fn newer(&self, version: u32) -> String {
        format!("{} has version {version}, this release knows {VERSION}", self.path.display())
    }

    /// Replaces the file.
    pub fn save(&self, samples: &Samples) -> io::Result<()> {
        let text = contents(samples.next_id(), samples.list().to_vec())?;
        replace(&self.path, text.as_bytes())
    }
}

/// What the file holds of these.
pub fn contents(next_id: u32, samples: Vec<Sample>) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&Saved { version: VERSION, next_id, samples })
}

/// The version alone, of a file whose other contents may be of another release.
fn version_of(text: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    serde_json::from_slice::<Version>(text).ok().map(|read| read.version)
}

#[cfg(test)]
mod tests {
    use whichroom_presence::calibration::SampleReading;

    use super::*;
    use crate::state::random_hex;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> (Scratch, SampleFile) {
            let directory = std::env::temp_dir().join(format!("whichroom-{}", random_hex(8).unwrap()));
            let state = StateFile::in_directory(&directory).unwrap();
            (Scratch(directory), SampleFile::beside(&state))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn sample(id: u32) -> Sample {
        let reading = |ap: &str| SampleReading {
            ap: ap.parse().unwrap(),
            associated: true,
            count: 7,
            mean_dbm: -61,
            deviation_db: 2,
        };
        Sample {
            id,
            device: "ada-phone".parse().unwrap(),
            room: "kitchen".parse().unwrap(),
            taken: "2026-11-22T08:00:00+01:00".into(),
            seconds: 40,
            readings: vec![reading("hall")],
            silent: vec!["garden".parse().unwrap()],
            reported: vec![reading("kitchen")],
        }
    }

    #[test]
    fn samples_survive_a_restart() {
        let (_scratch, file) = Scratch::new();
        assert_eq!(file.load().unwrap(), Samples::default());
        let samples = Samples::restored(12, vec![sample(3), sample(4)]);
        file.save(&samples).unwrap();
        let loaded = file.load().unwrap();
        assert_eq!(loaded, samples);
        assert_eq!(loaded.next_id(), 12);
    }

    #[test]
    fn what_does_not_read_is_kept_aside_each_time() {
        let (scratch, file) = Scratch::new();
        for (text, aside) in [("{\"version\":", "unreadable"), ("[]", "unreadable.1")] {
            fs::write(&file.path, text).unwrap();
            assert_eq!(file.load().unwrap(), Samples::default());
            let kept = scratch.0.join(format!("calibration.json.{aside}"));
            assert_eq!(fs::read_to_string(kept).unwrap(), text);
        }
    }

    #[test]
    fn a_newer_file_is_refused_and_left_alone() {
        let (_scratch, file) = Scratch::new();
        for text in [r#"{"version":2,"next_id":1,"samples":[]}"#, r#"{"version":3,"rooms":{}}"#] {
            fs::write(&file.path, text).unwrap();
            assert!(file.load().unwrap_err().contains("this release knows 1"));
            assert_eq!(fs::read_to_string(&file.path).unwrap(), text);
        }
    }
}
