//! Every threshold of the analyses, in one place, with the figures that are used unless somebody knows better.

use serde::Serialize;

/// Thresholds. The defaults are what README and reports describe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parameters {
    /// A span that begins so soon after the one before is a change of the same visit.
    pub change_gap_ms: u64,
    /// Thrashing: so many returns ...
    pub thrash_returns: u32,
    /// ... in a window of this length.
    pub thrash_window_ms: u64,
    /// Slow ping-pong: so many returns that gained nothing ...
    pub slow_returns: u32,
    /// ... each to an access point that was left this shortly before ...
    pub slow_return_ms: u64,
    /// ... in a window of this length.
    pub slow_window_ms: u64,
    /// A change that made the signal better by so much was worth it: somebody walked.
    pub worthwhile_gain_db: u8,
    /// Same-AP flapping: so many drops and changes of band on one access point ...
    pub flap_changes: u32,
    /// ... in a window of this length.
    pub flap_window_ms: u64,
    /// Weak: less signal above noise than this ...
    pub weak_snr_db: u8,
    /// ... or, where noise is not known, less signal than this ...
    pub weak_dbm: i8,
    /// ... for at least so many minutes ...
    pub weak_minutes: u32,
    /// ... that are at least this share of those with a reading.
    pub weak_share_percent: u8,
    /// Sticky: another access point heard the station better by so much ...
    pub sticky_gain_db: u8,
    /// ... in at least so many minutes of one association ...
    pub sticky_minutes: u32,
    /// ... none further from the next than this, and none between that says otherwise ...
    pub sticky_gap_ms: u64,
    /// ... while its own signal was no better than this.
    pub sticky_dbm: i8,
    /// Overlap of two access points is told from so many minutes in which one of them heard a station.
    pub overlap_minutes: u32,
    /// An access point serves a place where it hears a station at least so well.
    pub served_dbm: i8,
    /// Two access points contest a place where they hear a station with less difference than this.
    pub contested_db: u8,
    /// Coverage hole: an association this weak ...
    pub hole_dbm: i8,
    /// ... for so many minutes, while no other access point within this time ...
    pub hole_minutes: u32,
    /// ... heard the station well enough to serve it.
    pub hole_patience_ms: u64,
    /// Or so many drops from an association this weak ...
    pub hole_drops: u32,
    /// ... each followed by a silence of at most this length.
    pub hole_silence_ms: u64,
    /// Transmit power changes by this much at a time.
    pub power_step_db: u8,
    /// No step takes more than 5 % of a BSS's minutes below this.
    pub power_floor_dbm: i8,
    /// Transmit power is not lowered below this.
    pub power_min_dbm: i8,
    /// Before and after: each side has at least this length ...
    pub compare_least_ms: u64,
    /// ... and at most this.
    pub compare_most_ms: u64,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters {
            change_gap_ms: 2 * MINUTE,
            thrash_returns: 5,
            thrash_window_ms: 10 * MINUTE,
            slow_returns: 8,
            slow_return_ms: 30 * MINUTE,
            slow_window_ms: 4 * HOUR,
            worthwhile_gain_db: 10,
            flap_changes: 4,
            flap_window_ms: HOUR,
            weak_snr_db: 20,
            weak_dbm: -75,
            weak_minutes: 10,
            weak_share_percent: 20,
            sticky_gain_db: 10,
            sticky_minutes: 3,
            sticky_gap_ms: 10 * MINUTE,
            sticky_dbm: -67,
            overlap_minutes: 20,
            served_dbm: -75,
            contested_db: 6,
            hole_dbm: -80,
            hole_minutes: 10,
            hole_patience_ms: 2 * MINUTE,
            hole_drops: 3,
            hole_silence_ms: 30 * MINUTE,
            power_step_db: 2,
            power_floor_dbm: -75,
            power_min_dbm: 8,
            compare_least_ms: 24 * HOUR,
            compare_most_ms: 7 * 24 * HOUR,
        }
    }
}
