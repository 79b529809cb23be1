//! One device: the association it has, the one that just ended, and what access points list that prove nothing yet.
//! A device is on one BSS at a time; here that is kept true, whatever the access points say.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use whichroom_wire::{Id, Mac};

use crate::rows::{Began, Ended, Span};
use crate::time::Time;

/// An association with another BSS that begins so soon after one ended is a roam.
pub const ROAM_GAP_MS: u64 = 10_000;

/// How long an ended association waits for a late word of where the station went.
pub(super) const HOLD_MS: u64 = ROAM_GAP_MS + 5_000;

/// Tables and counters may lag behind events by so much: they are polled.
const LAG_MS: u64 = 10_000;

/// Drivers count connected time in whole seconds and at their leisure.
const CONNECTED_SLACK_MS: u64 = 3_000;

/// BSSs whose listing of one device is remembered.
const LISTINGS_MAX: usize = 8;

/// What is known of one device.
#[derive(Debug, Default)]
pub(super) struct Device {
    open: Option<Span>,
    /// Ended a moment ago; it may yet turn out to be a roam.
    closing: Option<Span>,
    /// End of its last span, and its BSS: the next one begins no earlier.
    last: Option<(Time, Mac)>,
    /// Nobody saw that one end.
    abandoned: bool,
    listings: Vec<Listing>,
    /// When anything was last heard of it.
    pub seen: Time,
}

/// What a device keeps over a restart of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedDevice {
    pub key: Mac,
    open: Option<Span>,
    closing: Option<Span>,
    last: Option<(Time, Mac)>,
}

/// A BSS that lists the device.
#[derive(Debug)]
struct Listing {
    ap: Id,
    bssid: Mac,
    last: Listed,
}

/// What a BSS listed, and when.
#[derive(Debug, Clone, Copy)]
struct Listed {
    rx: Counters,
    at: Time,
}

/// Receive counters, as far as they are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counters {
    pub packets: Option<u64>,
    pub bytes: Option<u64>,
}

impl Counters {
    pub const UNKNOWN: Counters = Counters { packets: None, bytes: None };

    /// Whether anything was received between the two. What wraps, or is reset, differs too.
    fn moved_since(self, before: Counters) -> bool {
        let differ = |a: Option<u64>, b: Option<u64>| a.zip(b).is_some_and(|(a, b)| a != b);
        differ(self.packets, before.packets) || differ(self.bytes, before.bytes)
    }

    pub fn is_unknown(self) -> bool {
        self.packets.is_none() && self.bytes.is_none()
    }
}

/// A BSS's word that it has an association with the device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'a> {
    pub mac: Mac,
    pub ap: &'a Id,
    pub bssid: Mac,
    pub at: Time,
    pub rx: Counters,
    pub connected_ms: Option<u64>,
    /// If the BSS did not list it before, we would know that it had not.
    pub knows_new: bool,
}

/// What a claim came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the association the device has, and something was received from it.
    Alive,
    /// It is the association the device has, as far as anybody knows.
    Idle,
    /// An old entry, or not known to be better.
    Stale,
}

impl Device {
    pub fn open(&self) -> Option<&Span> {
        self.open.as_ref()
    }

    /// When the association that ended is given away.
    pub fn due(&self) -> Option<Time> {
        self.closing.as_ref().map(|span| span.end.after(HOLD_MS))
    }

    /// Gives the association that ended away, if nothing more is to come.
    pub fn settle(&mut self, now: Time) -> Option<Span> {
        if self.due()? <= now { self.closing.take() } else { None }
    }

    /// A completed key handshake: the device is there.
    pub fn authorized(&mut self, claim: Claim<'_>, began: Began, rows: &mut Vec<Span>) {
        let Some(open) = &mut self.open else { return self.begin(claim, began, claim.at, rows) };
        if open.bssid != claim.bssid {
            if claim.at >= open.begin {
                return self.begin(claim, began, claim.at, rows);
            }
            return self.insert_before(claim, began, rows);
        }
        // Polling found it first, and this says how it began.
        let is_known = open.began == Began::Unknown && claim.at <= open.begin.after(LAG_MS);
        if !is_known && claim.at > open.begin {
            return self.begin(claim, began, claim.at, rows);
        }
        let floor = self.last.map_or(claim.at, |(end, _)| end.max(claim.at));
        open.began = began;
        open.begin = open.begin.min(floor);
        open.end = open.end.max(claim.at);
    }

    /// An entry of a table, or what an event tells of one.
    pub fn listed(&mut self, claim: Claim<'_>, rows: &mut Vec<Span>) -> Verdict {
        let before = self.note_listing(&claim);
        let moved = before.is_some_and(|before| claim.rx.moved_since(before.rx));
        let associated_at = claim.connected_ms.map(|ms| claim.at.before(ms));
        if let Some(open) = self.open.as_mut().filter(|open| open.bssid == claim.bssid) {
            if let Some(anew) = associated_at.filter(|at| *at > open.end.after(CONNECTED_SLACK_MS)) {
                self.begin(claim, Began::Unknown, anew, rows);
                return Verdict::Alive;
            }
            open.end = open.end.max(claim.at);
            return if moved || before.is_none() { Verdict::Alive } else { Verdict::Idle };
        }
        let Some(began_at) = self.beats_what_is_known(&claim, before, moved, associated_at) else {
            return Verdict::Stale;
        };
        self.begin(claim, Began::Unknown, began_at, rows);
        Verdict::Alive
    }

    /// Since when the device is on a BSS that lists it, if that is better than what is known. Drivers list for
    /// minutes what left them.
    fn beats_what_is_known(
        &self,
        claim: &Claim<'_>,
        before: Option<Listed>,
        moved: bool,
        associated_at: Option<Time>,
    ) -> Option<Time> {
        let begin = self.open.as_ref().map(|open| open.begin);
        let Some(rival) = begin.max(self.last.map(|(end, _)| end)) else {
            return Some(associated_at.unwrap_or(claim.at));
        };
        // A message shows what the agent's last poll found: it may be older than a handshake or a departure, though
        // it was sent after it.
        let is_handshake = self.open.as_ref().is_some_and(|open| open.began != Began::Unknown);
        let left_it = self.open.is_none() && self.last.is_some_and(|(_, bssid)| bssid == claim.bssid);
        let patience_ms = if is_handshake || left_it { LAG_MS } else { 0 };
        let lags = claim.at < rival.after(patience_ms);
        let since = match associated_at {
            Some(at) => (at > rival.after(CONNECTED_SLACK_MS)).then_some(at),
            None => (claim.knows_new && before.is_none() && !lags).then_some(claim.at),
        };
        let goes_on = left_it && self.abandoned && !lags;
        // Counters that moved are a sign of life if they were last read after the rival began.
        let lives = moved && before.is_some_and(|before| before.at >= rival.after(LAG_MS));
        since.or((goes_on || lives).then_some(claim.at))
    }

    /// Remembers what a BSS listed, and gives what it listed before.
    fn note_listing(&mut self, claim: &Claim<'_>) -> Option<Listed> {
        let last = Listed { rx: claim.rx, at: claim.at };
        if let Some(known) = self.listings.iter_mut().find(|known| known.bssid == claim.bssid) {
            return Some(std::mem::replace(&mut known.last, last));
        }
        if self.listings.len() == LISTINGS_MAX {
            self.listings.remove(0);
        }
        self.listings.push(Listing { ap: claim.ap.clone(), bssid: claim.bssid, last });
        None
    }

    /// Keeps of an access point's listings those its table has.
    pub fn keep_listings(&mut self, ap: &Id, is_listed: impl Fn(Mac) -> bool) {
        self.listings.retain(|listing| listing.ap != *ap || is_listed(listing.bssid));
    }

    /// A BSS lists it no longer.
    pub fn forget_listing(&mut self, bssid: Mac) {
        self.listings.retain(|listing| listing.bssid != bssid);
    }

    /// The association with a BSS is over. What is about an earlier one, or another BSS, is not meant.
    pub fn leave(&mut self, bssid: Mac, at: Time, ended: Ended) {
        self.forget_listing(bssid);
        if self.open.as_ref().is_some_and(|open| open.bssid == bssid && open.begin <= at) {
            self.close(at, ended);
        }
    }

    /// The access point will say nothing more of the association: it ended when it was last told of.
    pub fn abandon(&mut self, ended: Ended) {
        if let Some(end) = self.open.as_ref().map(|open| open.end) {
            self.close(end, ended);
            self.abandoned = true;
        }
    }

    /// The BSS went; so did, for that reason, what left it a moment ago.
    pub fn lost_bss(&mut self, lost: &BTreeSet<Mac>, at: Time) {
        if let Some(closing) = self.closing.as_mut().filter(|closing| lost.contains(&closing.bssid)) {
            closing.ended = Some(Ended::BssLost);
        }
        if let Some(bssid) = self.open.as_ref().map(|open| open.bssid).filter(|bssid| lost.contains(bssid)) {
            self.leave(bssid, at, Ended::BssLost);
        }
    }

    /// Whether it is, or was a moment ago, on one of these BSSs.
    pub fn is_on(&self, bssids: &BTreeSet<Mac>) -> bool {
        self.open.iter().chain(&self.closing).any(|span| bssids.contains(&span.bssid))
    }

    fn close(&mut self, at: Time, ended: Ended) {
        let Some(mut span) = self.open.take() else { return };
        span.end = at.max(span.begin);
        span.ended = Some(ended);
        self.last = Some((span.end, span.bssid));
        self.abandoned = false;
        // Whatever waited before it began earlier, and was given away when it began.
        self.closing = Some(span);
    }

    fn begin(&mut self, claim: Claim<'_>, began: Began, at: Time, rows: &mut Vec<Span>) {
        let at = at.min(claim.at);
        if let Some(open) = &self.open {
            let ended = if open.bssid == claim.bssid { Ended::Reassociated } else { Ended::Roamed };
            self.close(at, ended);
        }
        let begin = self.last.map_or(at, |(end, _)| end.max(at));
        self.open = Some(Span {
            mac: claim.mac,
            ap: claim.ap.clone(),
            bssid: claim.bssid,
            begin,
            began,
            end: begin.max(claim.at),
            ended: None,
        });
        self.may_have_roamed(rows);
    }

    /// Gives the span before the open one away, as a roam where it was one.
    fn may_have_roamed(&mut self, rows: &mut Vec<Span>) {
        let (Some(open), Some(mut before)) = (&self.open, self.closing.take()) else { return };
        let near = open.begin.since(before.end) <= ROAM_GAP_MS;
        if near && open.bssid != before.bssid && before.ended == Some(Ended::Left) {
            before.ended = Some(Ended::Roamed);
        }
        rows.push(before);
    }

    /// A handshake that is told of late, before the association that is known now.
    fn insert_before(&mut self, claim: Claim<'_>, began: Began, rows: &mut Vec<Span>) {
        let Some(open) = &self.open else { return };
        let begin = self.last.map_or(claim.at, |(end, _)| end.max(claim.at));
        if begin >= open.begin {
            return;
        }
        let (end, ended) = (open.begin, Some(Ended::Roamed));
        let (mac, ap) = (claim.mac, claim.ap.clone());
        self.last = Some((end, claim.bssid));
        rows.push(Span { mac, ap, bssid: claim.bssid, begin, began, end, ended });
    }

    /// Two devices turn out to be one. The association that began later is the one it has.
    pub fn merge(&mut self, mut other: Device, rows: &mut Vec<Span>) {
        rows.extend(self.closing.take());
        rows.extend(other.closing.take());
        let begin_of = |device: &Device| device.open.as_ref().map(|span| span.begin);
        if begin_of(self) < begin_of(&other) {
            std::mem::swap(&mut self.open, &mut other.open);
        }
        let later = self.open.as_ref().map(|span| span.begin);
        if let (Some(mut earlier), Some(later)) = (other.open, later) {
            earlier.end = earlier.end.min(later);
            earlier.ended = Some(Ended::Unknown);
            self.last = self.last.max(Some((earlier.end, earlier.bssid)));
            rows.push(earlier);
        }
        self.last = self.last.max(other.last);
        if let (Some(open), Some((end, _))) = (&mut self.open, self.last) {
            open.begin = open.begin.max(end);
            open.end = open.end.max(open.begin);
        }
        self.listings.extend(other.listings);
        self.listings.truncate(LISTINGS_MAX);
        self.seen = self.seen.max(other.seen);
    }

    pub fn save(&self, key: Mac) -> SavedDevice {
        SavedDevice { key, open: self.open.clone(), closing: self.closing.clone(), last: self.last }
    }

    pub fn restore(saved: SavedDevice, now: Time) -> Device {
        let SavedDevice { open, closing, last, .. } = saved;
        Device { open, closing, last, abandoned: false, listings: Vec::new(), seen: now }
    }
}
