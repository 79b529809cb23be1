//! Advice about channels: which radio should move where, so that the home's own radios are least in each other's way.

use whichroom_wire::Id;

use super::commands::{self, Setting};
use super::{Advice, AdviceKind, Findings};
use crate::channels::{self, Spectrum};
use crate::index::Index;
use crate::overlap::Overlap;
use crate::rows::{Band, RadioState};
use crate::site::Site;

/// Moves that are made at most.
const MOVES_MAX: usize = 16;

/// What sharing spectrum costs where two access points do not overlap as far as is known; every percent of overlap
/// adds one.
const CLASH_COST: u32 = 10;

/// Sharing a part of the channel is worse than sharing all of it: nobody waits for anybody.
const PART_FACTOR: u32 = 3;

/// A channel where radar has to be waited for is taken only if it helps.
const RADAR_COST: u32 = 4;

/// A radio with the spectrum it has, or would have.
struct Placed<'a> {
    radio: &'a RadioState,
    spectrum: Spectrum,
    /// Where it moves, if it does.
    channel: Option<u32>,
    /// Width after the move.
    width_mhz: u32,
}

/// One piece of advice for all moves: each of them alone may help nothing.
pub(super) fn advise(index: &Index<'_>, site: &Site, findings: &Findings<'_>) -> Option<Advice> {
    if findings.clashes.is_empty() {
        return None;
    }
    let radios = channels::radios(index).into_iter();
    let mut placed: Vec<Placed<'_>> = radios
        .map(|(radio, spectrum)| {
            let width_mhz = radio.width_mhz.unwrap_or(20);
            Placed { radio, spectrum, channel: None, width_mhz }
        })
        .collect();
    let before = clash_count(&placed);
    for _ in 0..MOVES_MAX {
        let Some((position, channel, width_mhz, spectrum)) = best_move(&placed, findings.overlaps) else {
            break;
        };
        let moved = &mut placed[position];
        (moved.channel, moved.width_mhz, moved.spectrum) = (Some(channel), width_mhz, spectrum);
    }
    let steps: Vec<_> = placed.iter().filter_map(step).collect();
    if steps.is_empty() {
        return None;
    }
    let worst = findings.clashes.first()?;
    let side = |side: &channels::ClashRadio| {
        format!("{} on channel {} ({} MHz)", site.ap_name(&side.ap), side.channel, side.width_mhz)
    };
    let after = clash_count(&placed);
    Some(Advice {
        kind: AdviceKind::MoveChannel,
        reason: format!(
            "{} pairs of access points share spectrum, such as {} and {} at {}.",
            findings.clashes.len(),
            side(&worst.a),
            side(&worst.b),
            worst.band.name(),
        ),
        expected: format!(
            "With {} moved, {after} of {before} pairs still share spectrum. Utilization falls where they do not.",
            if steps.len() == 1 { "one radio".to_owned() } else { format!("{} radios", steps.len()) },
        ),
        caution: Some(
            "Neighbours' networks are not in this plan: look at a scan before. On channels 52 to 144 a radio listens \
             for radar for a minute or more before it serves anybody, and leaves when it hears one."
                .to_owned(),
        ),
        steps,
    })
}

fn step(placed: &Placed<'_>) -> Option<commands::Step> {
    let (radio, channel) = (placed.radio, placed.channel?);
    let mut what =
        format!("{} from channel {} to {channel}", radio.ifname, radio.channel.unwrap_or_default());
    let changes_width = radio.width_mhz.is_some_and(|width| width != placed.width_mhz);
    if changes_width {
        what.push_str(&format!(" at {} MHz", placed.width_mhz));
    }
    let setting = Setting::Channel { channel, width_mhz: placed.width_mhz, changes_width };
    commands::wireless(&radio.ap, &[radio], what, setting)
}

fn clash_count(placed: &[Placed<'_>]) -> usize {
    let pairs = placed
        .iter()
        .enumerate()
        .flat_map(|(position, a)| placed[position + 1..].iter().map(move |b| (a, b)));
    pairs.filter(|(a, b)| a.radio.ap != b.radio.ap && a.spectrum.overlaps(b.spectrum)).count()
}

/// The single move that helps most.
fn best_move(placed: &[Placed<'_>], overlaps: &[Overlap]) -> Option<(usize, u32, u32, Spectrum)> {
    let mut best: Option<(u32, (usize, u32, u32, Spectrum))> = None;
    for (position, radio) in placed.iter().enumerate() {
        if !commands::is_plain(&radio.radio.ifname) || radio.channel.is_some() {
            continue;
        }
        let now = cost(placed, position, radio.spectrum, overlaps);
        for (channel, width_mhz, spectrum) in candidates(radio.spectrum.band, radio.width_mhz) {
            let then = cost(placed, position, spectrum, overlaps);
            let saved = now.saturating_sub(then);
            if saved > best.as_ref().map_or(0, |(saved, _)| *saved) {
                best = Some((saved, (position, channel, width_mhz, spectrum)));
            }
        }
    }
    best.map(|(_, best)| best)
}

fn cost(placed: &[Placed<'_>], position: usize, spectrum: Spectrum, overlaps: &[Overlap]) -> u32 {
    let own = placed[position].radio;
    let radar = (5_250..5_735).contains(&spectrum.from_mhz);
    let others = placed
        .iter()
        .enumerate()
        .filter(|(other, placed)| *other != position && spectrum.overlaps(placed.spectrum));
    let clashes = others.map(|(_, other)| {
        let whole = spectrum.from_mhz == other.spectrum.from_mhz && spectrum.to_mhz == other.spectrum.to_mhz;
        let near = overlap_percent(&own.ap, &other.radio.ap, overlaps);
        (CLASH_COST + near) * if whole { 1 } else { PART_FACTOR }
    });
    clashes.sum::<u32>() + if radar { RADAR_COST } else { 0 }
}

/// Overlap as far as it is known; that of an access point with itself is whole.
fn overlap_percent(a: &Id, b: &Id, overlaps: &[Overlap]) -> u32 {
    if a == b {
        return 100;
    }
    let of_pair = overlaps
        .iter()
        .filter(|overlap| (&overlap.a, &overlap.b) == (a, b) || (&overlap.a, &overlap.b) == (b, a));
    of_pair.map(Overlap::percent).max().unwrap_or(0)
}

/// Channels with their widths; the first ones are preferred.
fn candidates(band: Band, width_mhz: u32) -> Vec<(u32, u32, Spectrum)> {
    let channels: Vec<(u32, u32)> = match band {
        // 40 MHz are half of this band: with two access points there is no room for it.
        Band::Ghz2 => [1, 6, 11].map(|channel| (channel, 20)).to_vec(),
        Band::Ghz5 => {
            let blocks = [36..=64, 149..=161, 100..=144].into_iter().flat_map(|block| block.step_by(4));
            blocks.map(|channel| (channel, width_mhz)).collect()
        }
        Band::Ghz6 => (1..=93).step_by(4).map(|channel| (channel, width_mhz)).collect(),
    };
    let mut known: Vec<(u32, u32, Spectrum)> = Vec::new();
    for (channel, width_mhz) in channels {
        let freq_mhz = match band {
            Band::Ghz2 => 2_407 + 5 * channel,
            Band::Ghz5 => 5_000 + 5 * channel,
            Band::Ghz6 => 5_950 + 5 * channel,
        };
        let Some(spectrum) = Spectrum::of(freq_mhz, width_mhz) else { continue };
        // A block that reaches out of its part of the band is none.
        let part_ends_mhz = match spectrum.from_mhz {
            ..5_330 => 5_330,
            5_330..5_730 => 5_730,
            _ => 5_895,
        };
        if band == Band::Ghz5 && spectrum.to_mhz > part_ends_mhz {
            continue;
        }
        // One channel for each block is enough.
        if known.iter().all(|(_, _, other)| *other != spectrum) {
            known.push((channel, width_mhz, spectrum));
        }
    }
    known
}
