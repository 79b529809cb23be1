//! Changes of radios as notes, for those who turn a knob and write nothing down.

use std::collections::BTreeMap;

use crate::rows::{Note, RadioState};
use crate::time::{MINUTE_MS, Time};

const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// Notes for changes of radios that somebody made: power, channel, width, 802.11k, v and r. A channel that an access
/// point leaves within a day (radar, automatic choice) is nobody's change. Changes within a minute are one note.
pub fn notes_of_radios(radios: &[RadioState]) -> Vec<Note> {
    let mut by_bss: BTreeMap<_, Vec<&RadioState>> = BTreeMap::new();
    radios.iter().for_each(|radio| by_bss.entry(radio.bssid).or_default().push(radio));
    let mut changes: Vec<(Time, String)> = Vec::new();
    for states in by_bss.values_mut() {
        states.sort_by_key(|state| state.at);
        let mut enabled: Vec<RadioState> =
            states.iter().filter(|state| state.enabled).map(|state| (*state).clone()).collect();
        remember_the_known(&mut enabled);
        settle_channels(&mut enabled);
        for pair in enabled.windows(2) {
            let differences = differences(&pair[0], &pair[1]);
            if !differences.is_empty() {
                let text = format!("{} {}: {}", pair[1].ap, pair[1].ifname, differences.join(", "));
                changes.push((pair[1].at, text));
            }
        }
    }
    changes.sort();
    let mut notes: Vec<Note> = Vec::new();
    for (at, text) in changes {
        match notes.last_mut().filter(|note| at.since(note.at) <= MINUTE_MS) {
            Some(note) => note.text = format!("{}; {text}", note.text),
            None => notes.push(Note { at, text }),
        }
    }
    notes
}

/// Puts what was known before in the place of what a state does not tell. An agent that has just started has not heard
/// of everything yet: what it hears next is to be compared with the time before it.
fn remember_the_known(states: &mut [RadioState]) {
    for next in 1..states.len() {
        let (before, from) = states.split_at_mut(next);
        let (before, state) = (&before[next - 1], &mut from[0]);
        state.channel = state.channel.or(before.channel);
        state.width_mhz = state.width_mhz.or(before.width_mhz);
        state.txpower_dbm = state.txpower_dbm.or(before.txpower_dbm);
        state.ft = state.ft.or(before.ft);
        state.rrm = state.rrm.or(before.rrm);
        state.btm = state.btm.or(before.btm);
    }
}

/// Overwrites channels that did not last for a day with those before them.
fn settle_channels(states: &mut [RadioState]) {
    let mut from = 0;
    let mut settled: Option<(Option<u32>, Option<u32>)> = None;
    while from < states.len() {
        let on = (states[from].channel, states[from].width_mhz);
        let same = states[from..].iter().take_while(|state| (state.channel, state.width_mhz) == on).count();
        let to = from + same;
        let lasts = states.get(to).is_none_or(|next| next.at.since(states[from].at) >= DAY_MS);
        match settled.filter(|_| !lasts) {
            Some((channel, width_mhz)) => {
                for state in &mut states[from..to] {
                    (state.channel, state.width_mhz) = (channel, width_mhz);
                }
            }
            None => settled = Some(on),
        }
        from = to;
    }
}

fn differences(before: &RadioState, after: &RadioState) -> Vec<String> {
    let number = |name: &str, before: Option<i64>, after: Option<i64>| match (before, after) {
        (Some(before), Some(after)) if before != after => Some(format!("{name} {before} to {after}")),
        _ => None,
    };
    let switch = |name: &str, before: Option<bool>, after: Option<bool>| match (before, after) {
        (Some(false), Some(true)) => Some(format!("{name} on")),
        (Some(true), Some(false)) => Some(format!("{name} off")),
        _ => None,
    };
    let power = (before.txpower_dbm.map(i64::from), after.txpower_dbm.map(i64::from));
    let found = [
        number("power", power.0, power.1),
        number("channel", before.channel.map(i64::from), after.channel.map(i64::from)),
        number("width", before.width_mhz.map(i64::from), after.width_mhz.map(i64::from)),
        switch("802.11r", before.ft, after.ft),
        switch("802.11k", before.rrm, after.rrm),
        switch("802.11v", before.btm, after.btm),
    ];
    found.into_iter().flatten().collect()
}
