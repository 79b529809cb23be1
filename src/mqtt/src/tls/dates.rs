//! When to believe the dates in certificates. An access point has no battery for its clock: until it has heard the
//! time from the network it lives in 1970, or in the year of its firmware.

use std::time::SystemTime;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, Error};

use crate::tls::Clock;

/// Certificates of a chain whose dates exclude each other; no chain in a home is longer.
const MOMENTS_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Dates {
    clock: Clock,
}

impl Dates {
    pub(super) fn new(clock: Clock) -> Dates {
        Dates { clock }
    }

    /// Judges a chain at `now`; while the clock was never set, at any moment at which it holds.
    pub(super) fn judge<T>(
        &self,
        now: UnixTime,
        verify: impl Fn(UnixTime) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let set_after = since_1970(self.clock.set_after);
        if now >= set_after {
            return verify(now);
        }
        let mut moment = set_after;
        for _ in 1..MOMENTS_MAX {
            // What is wrong beside the dates stays wrong.
            let verified = verify(moment);
            match holds_at(&verified) {
                Some(next) => moment = next,
                None => return verified,
            }
        }
        verify(moment)
    }
}

/// A moment at which the certificate holds that did not hold now.
fn holds_at<T>(verified: &Result<T, Error>) -> Option<UnixTime> {
    match verified {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(*not_after)
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            Some(*not_before)
        }
        _ => None,
    }
}

fn since_1970(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

impl TimeProvider for Dates {
    fn current_time(&self) -> Option<UnixTime> {
        Some(since_1970((self.clock.now)()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    /// Valid from 500 to 600 only.
    fn verify(time: UnixTime) -> Result<u64, Error> {
        let (not_before, not_after) = (at(500), at(600));
        if time < not_before {
            return Err(CertificateError::NotValidYetContext { time, not_before }.into());
        }
        if time > not_after {
            return Err(CertificateError::ExpiredContext { time, not_after }.into());
        }
        Ok(time.as_secs())
    }

    fn judge(set_after_s: u64, now_s: u64) -> Result<u64, Error> {
        let set_after = SystemTime::UNIX_EPOCH + Duration::from_secs(set_after_s);
        Dates::new(Clock { now: SystemTime::now, set_after }).judge(at(now_s), verify)
    }

    #[test]
    fn a_clock_that_was_set_judges() {
        assert!(judge(100, 400).is_err());
        assert_eq!(judge(100, 550), Ok(550));
        assert!(judge(100, 700).is_err());
    }

    #[test]
    fn a_clock_before_the_build_does_not() {
        // Made after the build, valid at the build, expired before the build.
        for set_after_s in [100, 550, 900] {
            assert!(judge(set_after_s, 3).is_ok(), "{set_after_s}");
        }
    }

    #[test]
    fn dates_that_exclude_each_other_come_to_an_end() {
        let dates = Dates::new(Clock { now: SystemTime::now, set_after: SystemTime::now() });
        let never: Result<(), Error> = dates.judge(at(0), |time| {
            let (early, late) = (at(1), at(9));
            Err(if time == early {
                CertificateError::NotValidYetContext { time, not_before: late }.into()
            } else {
                CertificateError::ExpiredContext { time, not_after: early }.into()
            })
        });
        assert!(never.is_err());
    }
}
