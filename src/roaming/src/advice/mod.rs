//! What to change, why, and what to expect of it: always a small step that can be taken back, and never a kick.

mod commands;
mod plan;
mod power;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use whichroom_wire::Id;

pub use commands::{Setting, Step};

use crate::channels::Clash;
use crate::episodes::{Episode, FastShare};
use crate::index::Index;
use crate::overlap::Overlap;
use crate::parameters::Parameters;
use crate::rows::RadioState;
use crate::signal::{Hole, Sticky};
use crate::site::Site;

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What kind.
    pub kind: AdviceKind,
    /// Why, with the figures that decided.
    pub reason: String,
    /// What should become better, and how to see it.
    pub expected: String,
    /// What may go wrong.
    pub caution: Option<String>,
    /// What to paste where; empty if it is nothing to paste.
    pub steps: Vec<Step>,
}

/// Kinds of [`Advice`], in the order they are best followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdviceKind {
    /// 802.11k and 802.11v on: BSSs of a network with two access points or more that have it off.
    EnableMeasurement,
    /// 802.11r on: the same, where roams went through full handshakes.
    EnableFastTransition,
    /// Another channel for a radio whose spectrum another one of the home uses.
    MoveChannel,
    /// `power_step_db` (2 dB) less for the one that is heard worse, where devices bounce at least 10 times a day between
    /// two access points of which neither is heard better by `contested_db` (6 dB), unless more than 5 % of the radio's
    /// associated minutes would fall below `power_floor_dbm` (-75 dBm) with no other access point to serve them.
    LowerPower,
    /// `power_step_db` (2 dB) more for the one that is heard better, in the same case; never above what is allowed. First
    /// choice where both serve the device badly (below `sticky_dbm`, -67 dBm), second where both serve it well.
    RaisePower,
    /// usteer that suggests another access point to sticky clients, and never sends anybody away.
    Suggest,
    /// Nothing that commands can do: an access point is missing or stands in the wrong place.
    MoveAccessPoint,
}

/// What the analyses found.
pub(crate) struct Findings<'a> {
    pub episodes: &'a [Episode],
    pub sticky: &'a [Sticky],
    pub holes: &'a [Hole],
    pub overlaps: &'a [Overlap],
    pub clashes: &'a [Clash],
    pub fast: FastShare,
}

/// Everything there is to advise, in the order it is best followed.
pub(crate) fn find(
    index: &Index<'_>,
    site: &Site,
    findings: &Findings<'_>,
    parameters: &Parameters,
) -> Vec<Advice> {
    let networks = networks(index);
    let mut advice: Vec<Advice> =
        networks.iter().filter_map(|(ssid, bsses)| measurement(ssid, bsses)).collect();
    advice.extend(networks.iter().filter_map(|(ssid, bsses)| fast_transition(ssid, bsses, findings.fast)));
    advice.extend(plan::advise(index, site, findings));
    advice.extend(power::advise(index, site, findings, parameters));
    advice.extend(suggest(site, findings, parameters));
    advice.extend(fill_holes(site, findings, parameters));
    // Of power, the most contested pair first, whichever way it goes.
    let place = |kind| if kind == AdviceKind::RaisePower { AdviceKind::LowerPower } else { kind };
    advice.sort_by_key(|advice| place(advice.kind));
    advice
}

/// BSSs by network, of networks with two access points or more.
fn networks<'a>(index: &Index<'a>) -> BTreeMap<&'a str, Vec<&'a RadioState>> {
    let mut networks: BTreeMap<&str, Vec<&RadioState>> = BTreeMap::new();
    for radio in index.radios_now() {
        if let Some(ssid) = radio.ssid.as_deref().filter(|ssid| !ssid.is_empty()) {
            networks.entry(ssid).or_default().push(radio);
        }
    }
    networks.retain(|_, bsses| bsses.iter().map(|radio| &radio.ap).collect::<BTreeSet<&Id>>().len() >= 2);
    networks
}

fn measurement(ssid: &str, bsses: &[&RadioState]) -> Option<Advice> {
    let is_off = |radio: &&&RadioState| radio.rrm == Some(false) || radio.btm == Some(false);
    let off: Vec<&RadioState> = bsses.iter().filter(is_off).copied().collect();
    if off.is_empty() {
        return None;
    }
    Some(Advice {
        kind: AdviceKind::EnableMeasurement,
        reason: format!(
            "802.11k or 802.11v is off on {} of {} BSSs of {ssid:?}: phones have to scan all channels to find \
             another access point, nobody can ask them what they hear, and nothing can be suggested to them.",
            off.len(),
            bsses.len(),
        ),
        expected: "Phones roam sooner and to better access points; beacon reports appear, so that rooms and overlap \
                   are told from what phones themselves hear."
            .to_owned(),
        caution: Some(
            "Needs the full wpad package (wpad-mbedtls, wpad-openssl or wpad-wolfssl); with a wpad-basic hostapd may \
             refuse the options, and the commands then put back what was there. Phones take notice when they \
             associate the next time."
                .to_owned(),
        ),
        steps: for_each_ap(&off, "802.11k and 802.11v on", Setting::Measurement),
    })
}

/// One step for each access point that has some of these BSSs.
fn for_each_ap(bsses: &[&RadioState], what: &str, setting: Setting) -> Vec<Step> {
    let mut by_ap: BTreeMap<&Id, Vec<&RadioState>> = BTreeMap::new();
    for radio in bsses {
        by_ap.entry(&radio.ap).or_default().push(radio);
    }
    by_ap.iter().filter_map(|(ap, bsses)| commands::wireless(ap, bsses, what.to_owned(), setting)).collect()
}

/// So many full handshakes are worth a change.
const FULL_HANDSHAKES: u32 = 5;

fn fast_transition(ssid: &str, bsses: &[&RadioState], fast: FastShare) -> Option<Advice> {
    let off: Vec<&RadioState> = bsses.iter().filter(|radio| radio.ft == Some(false)).copied().collect();
    let handshakes = fast.full + fast.unknown;
    if off.is_empty() || handshakes < FULL_HANDSHAKES {
        return None;
    }
    Some(Advice {
        kind: AdviceKind::EnableFastTransition,
        reason: format!(
            "802.11r is off on {} of {} BSSs of {ssid:?}; {} of {} changes of BSS were fast transitions, {} went \
             through a full handshake{}.",
            off.len(),
            bsses.len(),
            fast.fast,
            fast.fast + handshakes,
            fast.full,
            if fast.unknown > 0 { format!(", of {} it is not known", fast.unknown) } else { String::new() },
        ),
        expected: "A roam interrupts a call for tens of milliseconds instead of hundreds; the share of fast \
                   transitions rises."
            .to_owned(),
        caution: Some(format!(
            "Every access point of {ssid:?} needs the same name, passphrase and mobility domain; OpenWrt derives \
             the last one from the name. Some old devices cannot join a network with 802.11r: if one stays away, \
             undo."
        )),
        steps: for_each_ap(&off, "802.11r on", Setting::FastTransition),
    })
}

/// Where coverage ends only metal and plaster can be moved: a louder access point does not hear better.
fn fill_holes(site: &Site, findings: &Findings<'_>, parameters: &Parameters) -> Option<Advice> {
    let worst = findings.holes.first()?;
    let others = findings.holes.len() - 1;
    Some(Advice {
        kind: AdviceKind::MoveAccessPoint,
        reason: format!(
            "{} spent {} minutes at {} dBm or less on {}, and dropped out of it {} times, with nothing else to serve \
             it{}.",
            worst.device.name,
            worst.minutes,
            parameters.hole_dbm,
            site.ap_name(&worst.ap),
            worst.drops,
            if others > 0 { format!("; {others} more such holes") } else { String::new() },
        ),
        expected: format!(
            "An access point near the place where this happens, or {} nearer to it, closes the hole.",
            site.ap_name(&worst.ap),
        ),
        caution: None,
        steps: Vec::new(),
    })
}

fn suggest(site: &Site, findings: &Findings<'_>, parameters: &Parameters) -> Option<Advice> {
    let worst = findings.sticky.first()?;
    let aps: BTreeSet<&Id> = findings.sticky.iter().flat_map(|sticky| [&sticky.ap, &sticky.better]).collect();
    // Where sticky clients typically are, in a range that neither nags everybody nor waits for the link to die.
    let mut own: Vec<i8> = findings.sticky.iter().map(|sticky| sticky.own_dbm).collect();
    own.sort_unstable();
    let scan_dbm = own[own.len() / 2].clamp(-75, -67);
    let options = [
        ("aggressiveness", "1".to_owned()),
        ("roam_scan_snr", scan_dbm.to_string()),
        ("signal_diff_threshold", parameters.sticky_gain_db.to_string()),
        // Everything that sends a station away, or refuses it, off.
        ("roam_trigger_snr", "0".to_owned()),
        ("min_snr", "0".to_owned()),
        ("min_connect_snr", "0".to_owned()),
        ("assoc_steering", "0".to_owned()),
        ("probe_steering", "0".to_owned()),
        ("load_kick_enabled", "0".to_owned()),
        ("band_steering_interval", "0".to_owned()),
    ];
    let step = |ap: &Id| {
        let what = format!("usteer suggests another access point below {scan_dbm} dBm");
        commands::usteer(ap, what, Setting::Suggest { below_dbm: scan_dbm }, &options)
    };
    Some(Advice {
        kind: AdviceKind::Suggest,
        reason: format!(
            "{} stayed on {} for {} minutes at {} dBm, while {} heard it {} dB better; {} such stretches in all.",
            worst.device.name,
            site.ap_name(&worst.ap),
            worst.minutes,
            worst.own_dbm,
            site.ap_name(&worst.better),
            worst.gain_db,
            findings.sticky.len(),
        ),
        expected: format!(
            "Below {scan_dbm} dBm usteer asks the client what it hears, and suggests an access point that is better \
             by {} dB. The client decides. Fewer and shorter sticky stretches.",
            parameters.sticky_gain_db,
        ),
        caution: Some(
            "Needs usteer on every access point, 802.11k and 802.11v on, and a usteer with `aggressiveness` (older \
             ones only kick; the commands refuse those). Do not combine with other steering."
                .to_owned(),
        ),
        steps: aps.into_iter().map(step).collect(),
    })
}
