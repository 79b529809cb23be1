//! The facts of the history, one plain type a table: what the tracker writes and every analysis reads.

use serde::{Deserialize, Serialize};
use whichroom_wire::{Id, Mac};

use crate::time::{MINUTE_MS, Time};

/// How an association began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Began {
    /// By 802.11r fast transition: the station was told of, and was not off the air.
    FastTransition,
    /// By a full authentication and key handshake.
    Full,
    /// The access point did not say: it was found by polling, or hostapd is too old to tell.
    Unknown,
}

/// How an association ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The station associated with another BSS at once (within [`ROAM_GAP_MS`](crate::ROAM_GAP_MS)).
    Roamed,
    /// It associated with the same BSS anew, and nobody saw it leave.
    Reassociated,
    /// It left, or was gone from the access point's table.
    Left,
    /// The access point deauthenticated it.
    SentAway,
    /// It did not answer the access point's poll after its inactivity limit.
    PollFailed,
    /// The agent restarted, and after that the station was not listed.
    ApRestarted,
    /// The BSS was switched off, or changed.
    BssLost,
    /// The access point said nothing more about it.
    Unknown,
}

/// One association of a station with a BSS. Spans of one device never overlap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The station, or its MLD address.
    pub mac: Mac,
    /// The access point.
    pub ap: Id,
    /// The BSS.
    pub bssid: Mac,
    /// When the association began, or was first known of.
    pub begin: Time,
    /// How it began.
    pub began: Began,
    /// When it ended; while it lasts, when the access point last told of it.
    pub end: Time,
    /// How it ended; nothing while it lasts.
    pub ended: Option<Ended>,
}

/// Where a signal reading comes from. The three do not compare: a beacon report is the downlink, the others are
/// the uplink; and a driver's figure for an associated station is smoothed, that of a single frame is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hearing {
    /// From the driver's table, of the BSS the station is associated with.
    Associated,
    /// A probe or association request that an access point heard, whoever the station was associated with.
    Overheard,
    /// What the station said it hears of a BSS (802.11k beacon report).
    Reported,
}

/// Signal of one station at one BSS in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalMinute {
    /// Beginning of the minute.
    pub minute: Time,
    /// The station, or its MLD address.
    pub mac: Mac,
    /// The access point.
    pub ap: Id,
    /// The BSS that heard it, or was heard.
    pub bssid: Mac,
    /// Where the readings come from.
    pub hearing: Hearing,
    /// The weakest.
    pub min_dbm: i8,
    /// Their mean.
    pub mean_dbm: i8,
    /// The strongest.
    pub max_dbm: i8,
    /// How many.
    pub count: u16,
}

impl SignalMinute {
    /// End of the minute.
    pub fn end(&self) -> Time {
        self.minute.after(MINUTE_MS)
    }
}

/// State of a BSS from `at` on, until the next row of the same BSSID. Absent fields are unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadioState {
    /// Since when.
    pub at: Time,
    /// The access point.
    pub ap: Id,
    /// The BSS.
    pub bssid: Mac,
    /// Its interface on the access point.
    pub ifname: String,
    /// Its network name.
    pub ssid: Option<String>,
    /// It serves stations.
    pub enabled: bool,
    /// Centre of the primary channel.
    pub freq_mhz: Option<u32>,
    /// Primary channel.
    pub channel: Option<u32>,
    /// Width of the channel.
    pub width_mhz: Option<u32>,
    /// Transmit power.
    pub txpower_dbm: Option<i8>,
    /// Noise floor.
    pub noise_dbm: Option<i8>,
    /// Share of time the channel is busy.
    pub utilization_permille: Option<u32>,
    /// 802.11r fast transition is on.
    pub ft: Option<bool>,
    /// 802.11k radio measurement is on.
    pub rrm: Option<bool>,
    /// 802.11v BSS transition management is on.
    pub btm: Option<bool>,
}

impl RadioState {
    /// Its frequency band.
    pub fn band(&self) -> Option<Band> {
        Band::of(self.freq_mhz?)
    }
}

/// A frequency band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Band {
    /// 2.4 GHz.
    #[serde(rename = "2.4 GHz")]
    Ghz2,
    /// 5 GHz.
    #[serde(rename = "5 GHz")]
    Ghz5,
    /// 6 GHz.
    #[serde(rename = "6 GHz")]
    Ghz6,
}

impl Band {
    /// The band of a frequency.
    pub fn of(freq_mhz: u32) -> Option<Band> {
        match freq_mhz {
            2_400..=2_500 => Some(Band::Ghz2),
            4_900..=5_924 => Some(Band::Ghz5),
            5_925..=7_125 => Some(Band::Ghz6),
            _ => None,
        }
    }

    /// How it is called.
    pub fn name(self) -> &'static str {
        match self {
            Band::Ghz2 => "2.4 GHz",
            Band::Ghz5 => "5 GHz",
            Band::Ghz6 => "6 GHz",
        }
    }
}

/// A mark in the history: something was changed on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Time,
    /// What, in words.
    pub text: String,
}

/// A row the tracker wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "kebab-case")]
pub enum Row {
    /// An association that ended.
    Span(Span),
    /// A minute that is over.
    Signal(SignalMinute),
    /// A BSS is not as it was.
    Radio(RadioState),
}

/// A slice of the history.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rows<'a> {
    /// Associations, in any order; those that last have no `ended`.
    pub spans: &'a [Span],
    /// Signals, in any order.
    pub signals: &'a [SignalMinute],
    /// States of BSSs, in any order; of each also the last one before the slice.
    pub radios: &'a [RadioState],
    /// Marks, in any order.
    pub notes: &'a [Note],
}
