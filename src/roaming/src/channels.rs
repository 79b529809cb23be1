//! Which of the home's own BSSs are in each other's way, by the spectrum they use.

use std::collections::BTreeSet;

use serde::Serialize;
use whichroom_wire::{Id, Mac};

use crate::index::Index;
use crate::rows::{Band, RadioState};

/// Two access points that use the same spectrum.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Clash {
    /// What they share.
    pub kind: ClashKind,
    /// On which band.
    pub band: Band,
    /// One.
    pub a: ClashRadio,
    /// The other.
    pub b: ClashRadio,
    /// It depends on where a 40 MHz channel's second half is, which access points do not say.
    pub uncertain: bool,
}

/// What two radios share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClashKind {
    /// Part of the channel: each takes the other for noise.
    PartOfChannel,
    /// The primary channel: they wait for each other.
    SameChannel,
}

/// One side of a [`Clash`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ClashRadio {
    /// The access point.
    pub ap: Id,
    /// One of its BSSs on that radio.
    pub bssid: Mac,
    /// That BSS's interface.
    pub ifname: String,
    /// Primary channel.
    pub channel: u32,
    /// Width.
    pub width_mhz: u32,
}

/// Spectrum in MHz, and whether it is known for sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spectrum {
    pub band: Band,
    pub from_mhz: u32,
    pub to_mhz: u32,
    pub uncertain: bool,
}

impl Spectrum {
    /// What a primary channel and a width use. In the 5 and 6 GHz bands wide channels are fixed blocks; where the
    /// second half of 40 MHz is in the 2.4 GHz band is not known, so both sides count.
    pub fn of(freq_mhz: u32, width_mhz: u32) -> Option<Spectrum> {
        let band = Band::of(freq_mhz)?;
        let around = |below: u32, above: u32, uncertain| Spectrum {
            band,
            from_mhz: freq_mhz - below,
            to_mhz: freq_mhz + above,
            uncertain,
        };
        let first_block_mhz = match (band, freq_mhz) {
            // 802.11b made channels of 22 MHz: five apart are free of each other, four are not.
            (Band::Ghz2, _) if width_mhz <= 22 => return Some(around(11, 11, false)),
            (Band::Ghz2, _) => return Some(around(31, 31, true)),
            (Band::Ghz5, 5_735..) => 5_735,
            (Band::Ghz5, 5_490..) => 5_490,
            (Band::Ghz5, _) => 5_170,
            (Band::Ghz6, _) => 5_945,
        };
        if width_mhz <= 20 {
            return Some(around(10, 10, false));
        }
        let block = (freq_mhz.checked_sub(first_block_mhz)?) / width_mhz;
        let from_mhz = first_block_mhz + block * width_mhz;
        // Blocks of 320 MHz overlap by half: which one is used is not known.
        let extra = if width_mhz >= 320 { 160 } else { 0 };
        let to_mhz = from_mhz + width_mhz + extra;
        Some(Spectrum { band, from_mhz: from_mhz - extra, to_mhz, uncertain: extra > 0 })
    }

    pub fn overlaps(self, other: Spectrum) -> bool {
        self.band == other.band && self.from_mhz < other.to_mhz && other.from_mhz < self.to_mhz
    }
}

/// One entry for each radio, as far as BSSs tell: those of one radio have one frequency.
pub(crate) fn radios<'a>(index: &Index<'a>) -> Vec<(&'a RadioState, Spectrum)> {
    let mut seen = BTreeSet::new();
    let spectrum = |radio: &'a RadioState| {
        let spectrum = Spectrum::of(radio.freq_mhz?, radio.width_mhz.unwrap_or(20))?;
        Some((radio, spectrum))
    };
    index
        .radios_now()
        .filter_map(spectrum)
        .filter(|(radio, _)| seen.insert((&radio.ap, radio.freq_mhz)))
        .collect()
}

/// All clashes between access points, worst first.
pub(crate) fn clashes(index: &Index<'_>) -> Vec<Clash> {
    let radios = radios(index);
    let mut clashes = Vec::new();
    for (position, (a, a_spectrum)) in radios.iter().enumerate() {
        for (b, b_spectrum) in &radios[position + 1..] {
            if a.ap == b.ap || !a_spectrum.overlaps(*b_spectrum) {
                continue;
            }
            let same = a.freq_mhz == b.freq_mhz;
            clashes.push(Clash {
                kind: if same { ClashKind::SameChannel } else { ClashKind::PartOfChannel },
                band: a_spectrum.band,
                a: side(a),
                b: side(b),
                uncertain: !same && (a_spectrum.uncertain || b_spectrum.uncertain),
            });
        }
    }
    clashes.sort();
    clashes
}

fn side(radio: &RadioState) -> ClashRadio {
    ClashRadio {
        ap: radio.ap.clone(),
        bssid: radio.bssid,
        ifname: radio.ifname.clone(),
        channel: radio.channel.unwrap_or_default(),
        width_mhz: radio.width_mhz.unwrap_or(20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_channels_are_blocks_whatever_their_primary_is() {
        let span = |freq, width| Spectrum::of(freq, width).map(|s| (s.from_mhz, s.to_mhz));
        // Channels 36, 40, 44 and 48 at 80 MHz are one block; 52 begins the next.
        for freq in [5_180, 5_200, 5_220, 5_240] {
            assert_eq!(span(freq, 80), Some((5_170, 5_250)));
        }
        assert_eq!(span(5_260, 80), Some((5_250, 5_330)));
        assert_eq!(span(5_500, 160), Some((5_490, 5_650)));
        assert_eq!(span(5_745, 80), Some((5_735, 5_815)));
        assert_eq!(span(5_955, 80), Some((5_945, 6_025)));
        assert_eq!(span(5_180, 20), Some((5_170, 5_190)));
    }

    #[test]
    fn five_channels_apart_are_free_at_2_4_ghz_and_four_are_not() {
        let clash = |a, b, width| {
            let (a, b) = (Spectrum::of(a, 20), Spectrum::of(b, width));
            a.zip(b).is_some_and(|(a, b)| a.overlaps(b))
        };
        assert!(!clash(2_412, 2_437, 20), "1 and 6");
        assert!(clash(2_412, 2_432, 20), "1 and 5");
        assert!(clash(2_412, 2_437, 40), "1 and 6 at 40 MHz");
        assert!(!clash(2_412, 2_462, 40), "1 and 11 at 40 MHz");
    }
}
