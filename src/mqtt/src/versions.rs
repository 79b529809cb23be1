//! Which version of MQTT the next attempt speaks: 5 if the broker has it, else 3.1.1.

use crate::link::LostKind;
use crate::options::Protocol;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    #[cfg(feature = "v5")]
    V5 {
        session_expiry_s: u32,
    },
}

/// What was learned about the broker.
#[derive(Debug)]
pub(crate) struct Versions {
    protocol: Protocol,
    /// The broker said that it has no MQTT 5; remembered as long as this process lives.
    refused: bool,
    /// It answered MQTT 5 with nothing readable: old brokers do, and so does a proxy whose broker is still
    /// starting. So 3.1.1 is tried, and 5 again after that.
    doubted: bool,
}

impl Versions {
    pub(crate) fn new(protocol: Protocol) -> Versions {
        Versions { protocol, refused: false, doubted: false }
    }

    pub(crate) fn next(&self) -> Version {
        match self.protocol {
            Protocol::V4 => Version::V4,
            #[cfg(feature = "v5")]
            Protocol::V5 { session_expiry_s } => Version::V5 { session_expiry_s },
            #[cfg(feature = "v5")]
            Protocol::V5OrV4 { .. } if self.refused || self.doubted => Version::V4,
            #[cfg(feature = "v5")]
            Protocol::V5OrV4 { session_expiry_s } => Version::V5 { session_expiry_s },
        }
    }

    /// Learns from an attempt that failed, or a connection that was lost. True if the next attempt speaks another
    /// version because the broker asked for it: no reason to wait.
    pub(crate) fn learn(&mut self, lost: &LostKind) -> bool {
        let spoke = self.next();
        match lost {
            LostKind::VersionRefused => self.refused = true,
            LostKind::AnswerUnread => self.doubted = !self.doubted,
            LostKind::Plain | LostKind::Oversized(_) => self.doubted = false,
        }
        matches!(lost, LostKind::VersionRefused) && self.next() != spoke
    }
}

#[cfg(all(test, feature = "v5"))]
mod tests {
    use super::*;

    const V5: Version = Version::V5 { session_expiry_s: 60 };

    #[test]
    fn a_refusal_is_remembered() {
        let mut versions = Versions::new(Protocol::V5OrV4 { session_expiry_s: 60 });
        assert_eq!(versions.next(), V5);
        assert!(versions.learn(&LostKind::VersionRefused), "no reason to wait");
        for lost in
            [LostKind::Plain, LostKind::AnswerUnread, LostKind::Oversized(1), LostKind::VersionRefused]
        {
            assert!(!versions.learn(&lost));
            assert_eq!(versions.next(), Version::V4);
        }
    }

    #[test]
    fn an_unreadable_answer_alternates_and_is_not_remembered() {
        let mut versions = Versions::new(Protocol::V5OrV4 { session_expiry_s: 60 });
        versions.learn(&LostKind::AnswerUnread);
        assert_eq!(versions.next(), Version::V4);
        versions.learn(&LostKind::AnswerUnread);
        assert_eq!(versions.next(), V5);
        versions.learn(&LostKind::AnswerUnread);
        versions.learn(&LostKind::Plain);
        assert_eq!(versions.next(), V5);
    }

    #[test]
    fn who_wants_5_only_gets_5_only() {
        let mut versions = Versions::new(Protocol::V5 { session_expiry_s: 60 });
        assert!(!versions.learn(&LostKind::VersionRefused));
        assert_eq!(versions.next(), V5);
    }
}
