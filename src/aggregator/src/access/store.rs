//! What the sign-in keeps in the state directory: the password's hash in one file, which `whichroom password --reset`
//! removes, and the sessions in another. Both are for their owner's eyes only.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::secret::{Digest, Hash};
use super::{Password, Session};
use crate::state::replace_secret;

/// Name of the file with the password's hash.
pub const PASSWORD_FILE: &str = "page-password";
const SESSIONS_FILE: &str = "page-sessions.json";
const VERSION: u32 = 1;
/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 64 << 10;

/// Both files.
#[derive(Debug, Clone)]
pub struct Store {
    password: PathBuf,
    sessions: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct SavedSessions {
    version: u32,
    /// Digest of the password's hash: sessions end with the password.
    password: String,
    sessions: Vec<SavedSession>,
}

#[derive(Serialize, Deserialize)]
struct SavedSession {
    digest: String,
    made_s: i64,
    used_s: i64,
}

impl Store {
    /// The files in the state directory.
    pub fn in_directory(directory: &Path) -> Store {
        Store { password: directory.join(PASSWORD_FILE), sessions: directory.join(SESSIONS_FILE) }
    }

    /// Where the password's hash is.
    pub fn password_file(&self) -> &Path {
        &self.password
    }

    /// What the password's file says now; an error is one of the disk, which may pass.
    pub fn load_password(&self) -> io::Result<Password> {
        let text = match read(&self.password) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Password::Unset),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(error),
        };
        Ok(Hash::read(&text).map_or_else(
            |_| self.unreadable("it holds no argon2id hash; whichroom password --reset begins anew"),
            Password::Set,
        ))
    }

    /// The password's file cannot be used.
    pub fn unreadable(&self, why: &str) -> Password {
        Password::Unreadable(format!("{}: {why}", self.password.display()))
    }

    /// Keeps the password's hash.
    pub fn save_password(&self, hash: &Hash) -> io::Result<()> {
        replace_secret(&self.password, format!("{}\n", hash.as_text()).as_bytes())
    }

    /// Takes the password's hash away. Returns whether there was one.
    pub fn remove_password(&self) -> io::Result<bool> {
        match fs::remove_file(&self.password) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The sessions that belong to this password. What does not read costs a sign-in, no more.
    pub fn load_sessions(&self, password: &Password) -> Vec<Session> {
        let Password::Set(hash) = password else { return Vec::new() };
        let Ok(text) = read(&self.sessions) else { return Vec::new() };
        let Ok(saved) = serde_json::from_str::<SavedSessions>(&text) else { return Vec::new() };
        if saved.version != VERSION || saved.password != digest_of(hash) {
            return Vec::new();
        }
        let sessions = saved.sessions.into_iter().filter_map(|saved| {
            let digest = Digest::read(&saved.digest)?;
            Some(Session { digest, made_s: saved.made_s, used_s: saved.used_s })
        });
        sessions.collect()
    }

    /// Keeps the sessions of this password.
    pub fn save_sessions(&self, password: &Hash, sessions: &[Session]) -> io::Result<()> {
        let sessions = sessions.iter().map(|session| SavedSession {
            digest: session.digest.to_text(),
            made_s: session.made_s,
            used_s: session.used_s,
        });
        let saved =
            SavedSessions { version: VERSION, password: digest_of(password), sessions: sessions.collect() };
        replace_secret(&self.sessions, &serde_json::to_vec(&saved)?)
    }
}

fn digest_of(hash: &Hash) -> String {
    Digest::of(&[hash.as_text().as_bytes()]).to_text()
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_MAX).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::secret::SALT;
    use super::*;

    fn hash(text: &str) -> Hash {
        Hash::new(text, &[1; SALT]).unwrap()
    }

    #[test]
    fn a_password_is_kept_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::in_directory(directory.path());
        assert_eq!(store.load_password().unwrap(), Password::Unset);
        // Whoever left it open does not keep it open.
        fs::write(store.password_file(), "").unwrap();
        fs::set_permissions(store.password_file(), fs::Permissions::from_mode(0o644)).unwrap();
        store.save_password(&hash("password1")).unwrap();
        let mode = fs::metadata(store.password_file()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(store.load_password().unwrap(), Password::Set(hash("password1")));
        assert!(store.remove_password().unwrap() && !store.remove_password().unwrap());
        assert_eq!(store.load_password().unwrap(), Password::Unset);
    }

    #[test]
    fn a_file_that_does_not_read_is_no_missing_password() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::in_directory(directory.path());
        for text in
            [&b""[..], b"password1", b"\xff\xfe", b"$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHRzYWx0$CTFh"]
        {
            fs::write(store.password_file(), text).unwrap();
            let Password::Unreadable(why) = store.load_password().unwrap() else { panic!("{text:?}") };
            assert!(why.contains("page-password") && why.contains("--reset"), "{why}");
        }
        fs::remove_file(store.password_file()).unwrap();
        fs::create_dir(store.password_file()).unwrap();
        assert!(store.load_password().is_err());
    }

    #[test]
    fn sessions_end_with_their_password() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::in_directory(directory.path());
        let session = Session { digest: Digest::of(&[b"cookie"]), made_s: 5, used_s: 6 };
        store.save_sessions(&hash("password1"), &[session]).unwrap();
        let loaded = store.load_sessions(&Password::Set(hash("password1")));
        assert_eq!((loaded.len(), loaded[0].made_s, loaded[0].used_s), (1, 5, 6));
        assert!(loaded[0].digest.is(&Digest::of(&[b"cookie"])));
        assert!(store.load_sessions(&Password::Set(hash("password2"))).is_empty());
        assert!(store.load_sessions(&Password::Unset).is_empty());
        fs::write(&store.sessions, "{").unwrap();
        assert!(store.load_sessions(&Password::Set(hash("password1"))).is_empty());
    }
}
