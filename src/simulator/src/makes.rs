//! Makes of phones, as different as those of a real home: when they sleep, what they answer, when they roam.
//!
//! A night has a hundred polls of hostapd. The cheap phone is thrown out in most nights, the drowsy one in every third,
//! the attentive one hardly ever.

use crate::plan::{Habits, Night};

/// Measures passively, actively and from its table.
const RRM_ALL: u8 = 0x73;
/// Has no table.
const RRM_NO_TABLE: u8 = 0x33;

/// Always half awake; seldom says goodbye.
pub(crate) const ATTENTIVE: Habits = Habits {
    roam_below_dbm: -70.0,
    says_goodbye: 0.05,
    sleeps_through_poll: 0.0005,
    probes_openly: 0.5,
    scans_in_use: false,
    dozes_deeply: 0.01,
    night: Night::Fetches,
    rrm: RRM_ALL,
    refuses: 0.02,
    restless: false,
};

/// Sleeps deeply when it lies still, and all night.
pub(crate) const DROWSY: Habits = Habits {
    roam_below_dbm: -72.0,
    says_goodbye: 0.3,
    sleeps_through_poll: 0.004,
    probes_openly: 0.6,
    scans_in_use: true,
    dozes_deeply: 0.06,
    night: Night::Silent,
    rrm: RRM_ALL,
    refuses: 0.1,
    restless: false,
};

/// Saves battery at any price, clings to its access point, knows no 802.11k.
pub(crate) const CHEAP: Habits = Habits {
    roam_below_dbm: -76.0,
    says_goodbye: 0.5,
    sleeps_through_poll: 0.02,
    probes_openly: 1.0,
    scans_in_use: true,
    dozes_deeply: 0.12,
    night: Night::Silent,
    rrm: 0,
    refuses: 1.0,
    restless: false,
};

/// Answers every poll; some nights it is in flight mode.
pub(crate) const OLD: Habits = Habits {
    roam_below_dbm: -74.0,
    says_goodbye: 0.4,
    sleeps_through_poll: 0.0,
    probes_openly: 0.8,
    scans_in_use: false,
    dozes_deeply: 0.04,
    night: Night::Flight(0.25),
    rrm: 0,
    refuses: 1.0,
    restless: false,
};

/// Looked after by an employer: never probes with its own address, reports beacons reluctantly.
pub(crate) const MANAGED: Habits = Habits {
    roam_below_dbm: -72.0,
    says_goodbye: 0.3,
    sleeps_through_poll: 0.006,
    probes_openly: 0.0,
    scans_in_use: true,
    dozes_deeply: 0.15,
    night: Night::Silent,
    rrm: RRM_NO_TABLE,
    refuses: 0.3,
    restless: false,
};

/// Never content with its access point. The phone that a report is about.
pub(crate) const RESTLESS: Habits = Habits { roam_below_dbm: -65.0, restless: true, ..OLD };

/// A stranger's.
pub(crate) const GUEST: Habits = Habits { sleeps_through_poll: 0.0, says_goodbye: 0.5, ..ATTENTIVE };

/// Every make that a member of the family may have.
pub(crate) const ALL: [Habits; 5] = [ATTENTIVE, DROWSY, CHEAP, OLD, MANAGED];
