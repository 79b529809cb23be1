//! Who may look at the page, and who may change something: the password, the one-time code that sets it, the sessions
//! of browsers and the tokens of programs. A value without sockets, clock or randomness: all three are passed in. What
//! is slow, argon2, is done between two calls by `web/gate.rs`; `store` keeps what survives a restart.

mod attempts;
pub mod command;
pub mod secret;
pub mod store;

use std::net::IpAddr;

use whichroom_wire::Id;

use attempts::Attempts;
pub use attempts::network_of;
use secret::{CODE, Code, Digest, Hash, RANDOM, SECRET_MAX};

/// A code that nobody used is void after this.
pub const CODE_MS: u64 = 15 * 60_000;
/// A code is void after as many wrong ones.
const CODE_WRONG: u8 = 5;
/// From one code to the next at least: the log is not a stranger's to fill.
const CODE_EVERY_MS: u64 = 60_000;
/// A session that nobody uses ends after this.
const SESSION_IDLE_S: i64 = 30 * 86_400;
/// A session ends after this, however much it is used.
pub const SESSION_S: i64 = 180 * 86_400;
/// A session that goes on is written down so often.
const SESSION_NOTED_S: i64 = 86_400;
/// Browsers that are signed in; the one that was not used for longest goes.
const SESSIONS_MAX: usize = 64;
/// Between the name and the rest of a token.
const TOKEN_MARK: char = '.';

/// Both clocks: the monotonic one for what is waited for, the wall's for what lasts over a restart.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Of the monotonic clock.
    pub ms: u64,
    /// Seconds since 1970.
    pub unix_s: i64,
}

/// What is known of the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// Nobody set one yet: a code does.
    Unset,
    /// This one.
    Set(Hash),
    /// Its file does not read. Nobody is let in, and no code may replace it: that would be a way around it.
    Unreadable(String),
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Looking.
    Read,
    /// Commands that change something, too.
    All,
}

/// A token of a program, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Whose it is; the token begins with it.
    pub name: Id,
    /// Of the whole token.
    pub hash: Hash,
    /// What it is good for.
    pub scope: Scope,
}

/// A browser that is signed in.
#[derive(Debug, Clone)]
pub struct Session {
    /// Of its cookie.
    pub digest: Digest,
    /// When it signed in, in seconds since 1970.
    pub made_s: i64,
    /// When it was last seen, to the day.
    pub used_s: i64,
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Visitor {
    /// Somebody at this machine.
    Local,
    /// A browser that is signed in.
    Session(Digest),
    /// A program with a token.
    Token(Token),
}

impl Visitor {
    /// Whether they may change something.
    pub fn may_change(&self) -> bool {
        match self {
            Visitor::Local | Visitor::Session(_) => true,
            Visitor::Token(token) => token.scope == Scope::All,
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// That was wrong.
    Wrong,
    /// They guessed too often.
    TooOften {
        /// The next guess is taken after so many seconds.
        retry_s: u64,
    },
    /// There is no password to sign in with.
    NoPassword,
    /// There is no code at present.
    NoCode,
    /// The password's file does not read.
    Unreadable(String),
}

/// What a token says before anything slow is done.
#[derive(Debug, Clone)]
pub enum Look {
    /// It was verified before.
    Known(Token),
    /// It says it is this one: verify it, then say so with [`Access::handle_verified`].
    Verify(Token),
}

/// A token that was verified, by a digest with this process's own key.
#[derive(Debug)]
struct Verified {
    token: Token,
    digest: Digest,
}

#[derive(Debug)]
struct Offered {
    code: Code,
    made_ms: u64,
    wrong: u8,
}

/// The whole state.
#[derive(Debug)]
pub struct Access {
    key: [u8; RANDOM],
    password: Password,
    code: Option<Offered>,
    /// Somebody who is not here waits for a code.
    code_wanted: bool,
    next_code_ms: u64,
    sessions: Vec<Session>,
    tokens: Vec<Token>,
    verified: Vec<Verified>,
    attempts: Attempts,
}

impl Access {
    /// What was kept, and what the configuration says. `key` is random.
    pub fn new(key: [u8; RANDOM], password: Password, sessions: Vec<Session>, tokens: Vec<Token>) -> Access {
        Access {
            key,
            password,
            code: None,
            code_wanted: false,
            next_code_ms: 0,
            sessions,
            tokens,
            verified: Vec::new(),
            attempts: Attempts::default(),
        }
    }

    /// What is known of the password.
    pub fn password(&self) -> &Password {
        &self.password
    }

    /// Takes what the password's file says now. Returns whether it is another one: then nobody is signed in any more.
    pub fn handle_password(&mut self, password: Password) -> bool {
        if self.password == password {
            return false;
        }
        if password == Password::Unset {
            // Whoever took it away, on this machine, waits for the code that sets the next.
            self.code_wanted = true;
            self.next_code_ms = 0;
        }
        self.password = password;
        self.code = None;
        self.sessions.clear();
        true
    }

    /// Takes the tokens of a configuration that was read again.
    pub fn handle_tokens(&mut self, tokens: Vec<Token>) {
        self.verified.retain(|verified| tokens.contains(&verified.token));
        self.tokens = tokens;
    }

    /// Somebody wants to set the password.
    pub fn want_code(&mut self) {
        self.code_wanted = true;
    }

    /// A new code, for the log, if one is wanted and there is none.
    pub fn offer_code(
        &mut self,
        now: Now,
        random: impl FnOnce() -> Result<[u8; CODE], String>,
    ) -> Option<String> {
        self.drop_old_code(now);
        let is_due = self.password == Password::Unset && self.code_wanted && self.code.is_none();
        if !is_due || now.ms < self.next_code_ms {
            return None;
        }
        let code = Code::new(&random().ok()?);
        let text = code.reveal();
        self.code = Some(Offered { code, made_ms: now.ms, wrong: 0 });
        self.next_code_ms = now.ms + CODE_EVERY_MS;
        Some(text)
    }

    fn drop_old_code(&mut self, now: Now) {
        if self.code.as_ref().is_some_and(|offered| now.ms >= offered.made_ms + CODE_MS) {
            self.code = None;
            // The next one is for whoever opens the page again.
            self.code_wanted = false;
        }
    }

    /// Takes the code that somebody typed. It is good for one password.
    pub fn take_code(&mut self, peer: IpAddr, typed: &str, now: Now) -> Result<(), Denied> {
        match &self.password {
            Password::Unset => {}
            Password::Set(_) => return Err(Denied::Wrong),
            Password::Unreadable(why) => return Err(Denied::Unreadable(why.clone())),
        }
        self.drop_old_code(now);
        self.begin(peer, now)?;
        let Some(offered) = &mut self.code else {
            self.code_wanted = true;
            return Err(Denied::NoCode);
        };
        if offered.code.is_typed(typed) {
            self.code = None;
            self.code_wanted = false;
            self.attempts.forgive(peer);
            return Ok(());
        }
        offered.wrong += 1;
        if offered.wrong >= CODE_WRONG {
            self.code = None;
        }
        Err(Denied::Wrong)
    }

    /// Takes the password that goes with a code that was taken, and signs its owner in: the cookie.
    pub fn set_password(&mut self, hash: Hash, random: &[u8; RANDOM], now: Now) -> String {
        self.password = Password::Set(hash);
        self.sessions.clear();
        self.add_session(random, now)
    }

    /// Begins to sign somebody in: what their password is to be compared with. It counts as a guess until
    /// [`Access::sign_in`].
    pub fn begin_sign_in(&mut self, peer: IpAddr, now: Now) -> Result<Hash, Denied> {
        let hash = match &self.password {
            Password::Set(hash) => hash.clone(),
            Password::Unset => return Err(Denied::NoPassword),
            Password::Unreadable(why) => return Err(Denied::Unreadable(why.clone())),
        };
        self.begin(peer, now)?;
        Ok(hash)
    }

    /// Their password was right: the cookie, unless the password changed meanwhile.
    pub fn sign_in(
        &mut self,
        peer: IpAddr,
        verified: &Hash,
        random: &[u8; RANDOM],
        now: Now,
    ) -> Option<String> {
        if !matches!(&self.password, Password::Set(hash) if hash == verified) {
            return None;
        }
        self.attempts.forgive(peer);
        Some(self.add_session(random, now))
    }

    fn add_session(&mut self, random: &[u8; RANDOM], now: Now) -> String {
        self.sessions.retain(|session| session.is_good(now));
        if self.sessions.len() >= SESSIONS_MAX {
            let oldest = self.sessions.iter().enumerate().min_by_key(|(_, session)| session.used_s);
            if let Some((oldest, _)) = oldest {
                self.sessions.remove(oldest);
            }
        }
        let cookie = secret::text_of(random);
        let digest = Digest::of(&[cookie.as_bytes()]);
        self.sessions.push(Session { digest, made_s: now.unix_s, used_s: now.unix_s });
        cookie
    }

    /// Whose cookie this is, and whether the sessions are to be written down again.
    pub fn visit(&mut self, cookie: &str, now: Now) -> Option<(Digest, bool)> {
        let digest = Digest::of(&[cookie.as_bytes()]);
        let session = self.sessions.iter_mut().find(|session| session.digest.is(&digest))?;
        if !session.is_good(now) {
            return None;
        }
        let is_noted = now.unix_s - session.used_s >= SESSION_NOTED_S;
        if is_noted {
            session.used_s = now.unix_s;
        }
        Some((session.digest, is_noted))
    }

    /// Whether somebody who was let in still would be.
    pub fn is_still_in(&self, visitor: &Visitor, now: Now) -> bool {
        match visitor {
            Visitor::Local => true,
            Visitor::Session(digest) => {
                self.sessions.iter().any(|session| session.digest.is(digest) && session.is_good(now))
            }
            Visitor::Token(token) => self.tokens.contains(token),
        }
    }

    /// Ends a session.
    pub fn sign_out(&mut self, digest: &Digest) {
        self.sessions.retain(|session| !session.digest.is(digest));
    }

    /// Ends every session.
    pub fn sign_out_all(&mut self) {
        self.sessions.clear();
    }

    /// What is to be kept.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// What a token that somebody showed may be.
    pub fn look_up(&mut self, peer: IpAddr, shown: &str, now: Now) -> Result<Look, Denied> {
        let name = shown.split_once(TOKEN_MARK).map_or("", |(name, _)| name);
        let token = self.tokens.iter().find(|token| token.name.as_str() == name).cloned();
        if let Some(token) = &token {
            let digest = self.digest_of(shown);
            let is_known = |verified: &Verified| verified.token == *token && verified.digest.is(&digest);
            if self.verified.iter().any(is_known) {
                return Ok(Look::Known(token.clone()));
            }
        }
        self.begin(peer, now)?;
        match token {
            Some(token) if shown.len() <= SECRET_MAX => Ok(Look::Verify(token)),
            Some(_) | None => Err(Denied::Wrong),
        }
    }

    /// A token was verified. Returns whether it is still in the configuration.
    pub fn handle_verified(&mut self, peer: IpAddr, token: &Token, shown: &str) -> bool {
        if !self.tokens.contains(token) {
            return false;
        }
        self.attempts.forgive(peer);
        let digest = self.digest_of(shown);
        // Of each at most one: there is but one text to its hash.
        self.verified.retain(|verified| verified.token != *token);
        self.verified.push(Verified { token: token.clone(), digest });
        true
    }

    /// It never leaves this process, so that nobody can lengthen it.
    fn digest_of(&self, shown: &str) -> Digest {
        Digest::of(&[&self.key, shown.as_bytes()])
    }

    fn begin(&mut self, peer: IpAddr, now: Now) -> Result<(), Denied> {
        self.attempts.begin(peer, now.ms).map_err(|retry_s| Denied::TooOften { retry_s })
    }
}

impl Session {
    /// A clock that was set back makes no session older.
    fn is_good(&self, now: Now) -> bool {
        now.unix_s - self.used_s < SESSION_IDLE_S && now.unix_s - self.made_s < SESSION_S
    }
}

/// A new token of this name.
pub fn new_token(name: &Id, random: &[u8; RANDOM]) -> String {
    format!("{name}{TOKEN_MARK}{}", secret::text_of(random))
}

#[cfg(test)]
mod tests;
