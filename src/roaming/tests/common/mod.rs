//! A small language for histories: access points and phones by number, times in seconds and minutes.
#![allow(dead_code, clippy::unwrap_used, clippy::allow_attributes, reason = "each test uses what it needs")]

use whichroom_roaming::{
    Analysis, Began, Ended, Hearing, NamedDevice, Note, Parameters, RadioState, Range, Report, Rows,
    SignalMinute, Site, Span, Time,
};
use whichroom_wire::{Id, Mac};

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

pub fn at(ms: i64) -> Time {
    Time::from_ms(ms)
}

pub fn ap(number: u8) -> Id {
    format!("ap{number}").parse().unwrap()
}

/// The 2.4 GHz BSS of an access point.
pub fn bss(ap: u8) -> Mac {
    Mac::new([0x10, 0, 0, 0, 0, ap])
}

/// Its 5 GHz BSS.
pub fn bss5(ap: u8) -> Mac {
    Mac::new([0x10, 0, 0, 0, 1, ap])
}

pub fn phone(number: u8) -> Mac {
    Mac::new([0x02, 0, 0, 0, 0, number])
}

pub fn phone_id(number: u8) -> Id {
    format!("phone{number}").parse().unwrap()
}

pub fn span(mac: Mac, number: u8, begin: i64, end: i64) -> Span {
    let (ap, bssid) = (ap(number), bss(number));
    let (begin, end) = (at(begin), at(end));
    Span { mac, ap, bssid, begin, began: Began::Full, end, ended: Some(Ended::Roamed) }
}

/// Spans one after another: on which access point, until when.
pub fn walk(mac: Mac, begin: i64, stays: impl IntoIterator<Item = (u8, i64)>) -> Vec<Span> {
    let mut from = begin;
    let mut spans = Vec::new();
    for (number, until) in stays {
        spans.push(span(mac, number, from, until));
        from = until;
    }
    spans
}

/// Bounces between access points in turn, `every` ms, `count` associations.
pub fn bounce(mac: Mac, begin: i64, every: i64, count: i64, aps: &[u8]) -> Vec<Span> {
    let stays = aps.iter().cycle().zip(1..=count).map(|(ap, number)| (*ap, begin + number * every));
    walk(mac, begin, stays)
}

pub fn signal(mac: Mac, number: u8, minute: i64, hearing: Hearing, dbm: i8) -> SignalMinute {
    SignalMinute {
        minute: at(minute * MINUTE),
        mac,
        ap: ap(number),
        bssid: bss(number),
        hearing,
        min_dbm: dbm - 2,
        mean_dbm: dbm,
        max_dbm: dbm + 2,
        count: 3,
    }
}

pub fn radio(number: u8, freq_mhz: u32, width_mhz: u32) -> RadioState {
    let channel = match freq_mhz {
        2_412..=2_472 => (freq_mhz - 2_407) / 5,
        _ => (freq_mhz - 5_000) / 5,
    };
    let is_5ghz = freq_mhz > 5_000;
    RadioState {
        at: at(0),
        ap: ap(number),
        bssid: if is_5ghz { bss5(number) } else { bss(number) },
        ifname: format!("phy{}-ap0", u8::from(is_5ghz)),
        ssid: Some("Home".to_owned()),
        enabled: true,
        freq_mhz: Some(freq_mhz),
        channel: Some(channel),
        width_mhz: Some(width_mhz),
        txpower_dbm: Some(20),
        noise_dbm: None,
        utilization_permille: None,
        ft: None,
        rrm: None,
        btm: None,
    }
}

/// A history that owns its rows.
#[derive(Debug, Default, Clone)]
pub struct History {
    pub spans: Vec<Span>,
    pub signals: Vec<SignalMinute>,
    pub radios: Vec<RadioState>,
    pub notes: Vec<Note>,
    pub site: Site,
}

impl History {
    pub fn of(spans: Vec<Span>) -> History {
        History { spans, ..History::default() }
    }

    pub fn rows(&self) -> Rows<'_> {
        let History { spans, signals, radios, notes, .. } = self;
        Rows { spans, signals, radios, notes }
    }

    pub fn report(&self, from: i64, to: i64) -> Report {
        let parameters = Parameters::default();
        let range = Range::new(at(from), at(to));
        Analysis::new(self.rows(), &self.site, range, &parameters).report()
    }

    pub fn named(mut self, name: &str, macs: &[Mac]) -> History {
        self.site.devices.push(NamedDevice { name: name.to_owned(), macs: macs.to_vec() });
        self
    }
}
