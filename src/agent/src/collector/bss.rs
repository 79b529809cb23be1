//! One BSS: what is known of it, and when what is asked of it again.

use whichroom_wire::{Mac, Radio};

use super::parse::{BssStatus, Info};

/// hostapd is busy with stations, and little of `get_status` changes: notifications tell of channel switches, and a BSS
/// that stops to serve loses its stations.
const STATUS_EVERY_MS: u64 = 300_000;
/// While it does not serve, it is asked more often for the end of that.
const STATUS_DOWN_EVERY_MS: u64 = 30_000;
/// Between two looks at why a BSS lost its stations.
const STATUS_GAP_MS: u64 = 5_000;
/// Transmit power, noise and width hardly change, and rpcd is shared with LuCI.
const INFO_EVERY_MS: u64 = 300_000;
/// Polls that may fail before the BSS counts as silent.
const FAILURES_MAX: u32 = 3;
/// A poll asked for by a notification waits this long after the one before it.
const POLL_GAP_MS: u64 = 250;

/// Something that is asked again and again; one question at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    every_ms: u64,
    due_ms: u64,
    asked_ms: Option<u64>,
    pending: bool,
}

impl Question {
    fn new(every_ms: u64, now_ms: u64) -> Question {
        Question { every_ms, due_ms: now_ms, asked_ms: None, pending: false }
    }

    /// When it is to be asked; not while an answer is awaited.
    pub(super) fn due(&self) -> Option<u64> {
        (!self.pending).then_some(self.due_ms)
    }

    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        self.due().is_some_and(|due| due <= now_ms)
    }

    /// It was asked, and answered or given up.
    pub(super) fn is_answered(&self) -> bool {
        self.asked_ms.is_some() && !self.pending
    }

    pub(super) fn asked(&mut self, now_ms: u64) {
        self.pending = true;
        self.asked_ms = Some(now_ms);
        self.due_ms = now_ms + self.every_ms;
    }

    pub(super) fn answered(&mut self) {
        self.pending = false;
    }

    /// Asks by `at_ms`, but not sooner than `gap_ms` after the last time.
    pub(super) fn hasten(&mut self, at_ms: u64, gap_ms: u64) {
        self.due_ms = self.due_ms.min(at_ms.max(self.asked_ms.map_or(0, |asked_ms| asked_ms + gap_ms)));
    }

    fn restart(&mut self, now_ms: u64) {
        *self = Question::new(self.every_ms, now_ms);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Bss {
    /// The interface, opaque.
    pub(super) ifname: String,
    /// hostapd's object; `None` while it is gone.
    pub(super) id: Option<u32>,
    /// Our object, to which its notifications come: they do not name their sender.
    pub(super) own: Option<u32>,
    pub(super) subscribed: bool,
    /// Since when it is gone.
    pub(super) gone_ms: Option<u64>,
    /// There was a poll since it came up.
    pub(super) polled: bool,
    /// The last poll listed stations.
    occupied: bool,
    failures: u32,
    /// What is wrong with it, in words.
    pub(super) problem: Option<String>,
    pub(super) flaws: u32,
    /// hostapd's answer was read at some time.
    pub(super) answered: bool,
    pub(super) ft_seen: bool,
    /// A station has 802.11k capabilities, which it has only where the BSS has them on.
    pub(super) rrm_seen: bool,
    pub(super) status: BssStatus,
    pub(super) info: Info,
    pub(super) ask_clients: Question,
    pub(super) ask_status: Question,
    pub(super) ask_info: Question,
    pub(super) ask_assoclist: Question,
}

impl Bss {
    pub(super) fn new(ifname: &str, interval_ms: u64, iwinfo_every_ms: u64, now_ms: u64) -> Bss {
        Bss {
            ifname: ifname.to_owned(),
            id: None,
            own: None,
            subscribed: false,
            gone_ms: None,
            polled: false,
            occupied: false,
            failures: 0,
            problem: None,
            flaws: 0,
            answered: false,
            ft_seen: false,
            rrm_seen: false,
            status: BssStatus::default(),
            info: Info::default(),
            ask_clients: Question::new(interval_ms, now_ms),
            ask_status: Question::new(STATUS_EVERY_MS, now_ms),
            ask_info: Question::new(INFO_EVERY_MS, now_ms),
            ask_assoclist: Question::new(iwinfo_every_ms, now_ms),
        }
    }

    /// hostapd registered it, perhaps anew: nothing asked before will be answered.
    pub(super) fn appear(&mut self, id: u32, now_ms: u64) {
        self.id = Some(id);
        self.subscribed = false;
        self.gone_ms = None;
        self.polled = false;
        self.occupied = false;
        self.failures = 0;
        self.problem = None;
        self.ask_clients.restart(now_ms);
        self.ask_status.restart(now_ms);
        self.ask_info.restart(now_ms);
        self.ask_assoclist.restart(now_ms);
    }

    pub(super) fn vanish(&mut self, now_ms: u64) {
        self.id = None;
        self.subscribed = false;
        self.gone_ms.get_or_insert(now_ms);
    }

    pub(super) fn bssid(&self) -> Option<Mac> {
        self.status.bssid.or(self.info.bssid)
    }

    /// A poll of its stations was answered; whether it was silent before.
    pub(super) fn succeeded(&mut self) -> bool {
        let was_silent = self.is_silent();
        self.failures = 0;
        self.problem = None;
        was_silent
    }

    /// A poll of its stations came to nothing; whether it became silent.
    pub(super) fn failed(&mut self, why: String) -> bool {
        let was_silent = self.is_silent();
        self.failures = self.failures.saturating_add(1);
        self.problem = Some(why);
        self.is_silent() && !was_silent
    }

    /// hostapd does not answer: what is known of its stations is old.
    pub(super) fn is_silent(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    /// It was asked for its stations and answered, or failed to.
    pub(super) fn is_settled(&self) -> bool {
        self.id.is_none() || self.polled || self.failures > 0
    }

    /// hostapd said its state, or did not.
    pub(super) fn status_answered(&mut self, was_said: bool, now_ms: u64) {
        self.ask_status.answered();
        if !was_said || self.status.status.as_deref() != Some("ENABLED") {
            self.ask_status.hasten(now_ms + STATUS_DOWN_EVERY_MS, 0);
        }
    }

    /// A poll listed stations or none. The last one may have gone because the BSS did.
    pub(super) fn listed(&mut self, any: bool, now_ms: u64) {
        if std::mem::replace(&mut self.occupied, any) && !any {
            self.ask_status.hasten(now_ms, STATUS_GAP_MS);
        }
    }

    pub(super) fn poll_soon(&mut self, at_ms: u64) {
        self.ask_clients.hasten(at_ms, POLL_GAP_MS);
    }

    fn state(&self) -> Option<String> {
        // Neither is a word of hostapd: readers take any but "ENABLED" for "does not serve stations".
        if self.id.is_none() {
            return Some("GONE".to_owned());
        }
        if self.is_silent() {
            return Some("SILENT".to_owned());
        }
        self.status.status.clone()
    }

    /// As it is published. A feature is known to be on where it was seen at work, and unknown otherwise.
    pub(super) fn radio(&self) -> Radio {
        Radio {
            ifname: self.ifname.clone(),
            bssid: self.bssid(),
            ssid: self.status.ssid.clone(),
            status: self.state(),
            freq_mhz: self.status.freq_mhz,
            channel: self.status.channel,
            width_mhz: self.info.width_mhz,
            txpower_dbm: self.info.txpower_dbm,
            noise_dbm: self.info.noise_dbm,
            utilization_permille: self.status.utilization_permille,
            ft: self.ft_seen.then_some(true),
            rrm: (self.rrm_seen || self.status.rrm_seen).then_some(true),
            btm: self.status.btm_seen.then_some(true),
        }
    }

    /// The class of channels a beacon request names (802.11 table E-4).
    pub(super) fn op_class(&self) -> u32 {
        self.status.op_class.unwrap_or(match self.status.freq_mhz.unwrap_or(0) {
            ..=2_484 => 81,
            5_000..=5_250 => 115,
            5_251..=5_350 => 118,
            5_351..=5_730 => 121,
            5_731..=5_900 => 125,
            _ => 131,
        })
    }
}
