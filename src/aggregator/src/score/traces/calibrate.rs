//! Calibrations made of traces: each stay in a room is what "I am in the kitchen now" would have given there, with
//! every AP listening.

use std::collections::BTreeMap;

use whichroom_presence::calibration::{Sample, SampleReading};
use whichroom_wire::Id;

use super::trace::{Reading, Trace};

/// An AP that heard less than one reading for so many of the best one's heard nothing to speak of.
const SILENT_PART: usize = 20;

/// The samples of some traces. `room` and `ap` give the ids of names, and none for what is of another home.
pub fn samples<'t>(
    traces: impl Iterator<Item = &'t Trace>,
    room: impl Fn(&str) -> Option<Id>,
    ap: impl Fn(&str) -> Option<Id>,
) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    for trace in traces {
        for stay in trace.readings.chunk_by(|one, next| one.room == next.room) {
            let Some(room) = room(&trace.rooms[stay[0].room]) else { continue };
            let id = u32::try_from(samples.len()).unwrap_or(u32::MAX);
            samples.extend(sample(trace, stay, id, room, &ap));
        }
    }
    samples
}

/// One stay; `None` if no AP of this home heard anything.
fn sample(
    trace: &Trace,
    stay: &[Reading],
    id: u32,
    room: Id,
    ap: &impl Fn(&str) -> Option<Id>,
) -> Option<Sample> {
    let mut levels: BTreeMap<usize, Vec<f32>> = (0..trace.aps.len()).map(|ap| (ap, Vec::new())).collect();
    for reading in stay {
        levels.entry(reading.ap).or_default().push(f32::from(reading.rssi_dbm));
    }
    let most = levels.values().map(Vec::len).max().unwrap_or(0);
    let (mut readings, mut silent) = (Vec::new(), Vec::new());
    for (position, levels) in &levels {
        let Some(ap) = ap(&trace.aps[*position]) else { continue };
        if levels.len() * SILENT_PART < most {
            silent.push(ap);
        } else {
            readings.push(summary(ap, levels));
        }
    }
    let seconds = (stay[stay.len() - 1].t_ms - stay[0].t_ms) / 1000;
    let device = Id::from_name("phone")?;
    (!readings.is_empty()).then(|| Sample {
        id,
        device,
        room,
        taken: String::new(),
        seconds: u32::try_from(seconds).unwrap_or(0),
        readings,
        silent,
        reported: Vec::new(),
    })
}

fn summary(ap: Id, levels: &[f32]) -> SampleReading {
    let count = levels.len() as f32;
    let mean = levels.iter().sum::<f32>() / count;
    let variance = levels.iter().map(|level| (level - mean).powi(2)).sum::<f32>() / count;
    SampleReading {
        ap,
        associated: false,
        count: u16::try_from(levels.len()).unwrap_or(u16::MAX),
        // Levels were i8 each; a deviation is at most half their range.
        mean_dbm: mean.round() as i8,
        deviation_db: variance.sqrt().ceil() as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace::parse;
    use super::*;

    #[test]
    fn a_stay_is_a_sample_with_means_and_who_was_silent() {
        let mut text = "t_ms,ap,rssi_dbm,room\n".to_owned();
        for n in 0..40 {
            text += &format!("{},a,{},a\n", n * 1000, if n % 2 == 0 { -60 } else { -64 });
        }
        text += "40000,b,-90,a\n41000,b,-50,b\n42000,other,-40,b\n";
        let trace = parse("f", &text).unwrap();
        let id = |name: &str| Id::from_name(name).filter(|id| id.as_str() != "other");
        let samples = samples(std::iter::once(&trace), id, id);
        let shown = |sample: &Sample| {
            let readings = sample.readings.iter().map(|reading| {
                (reading.ap.to_string(), reading.count, reading.mean_dbm, reading.deviation_db)
            });
            (sample.room.to_string(), readings.collect::<Vec<_>>(), format!("{:?}", sample.silent))
        };
        assert_eq!(shown(&samples[0]), ("a".into(), vec![("a".into(), 40, -62, 2)], "[b]".into()));
        assert_eq!(shown(&samples[1]), ("b".into(), vec![("b".into(), 1, -50, 0)], "[a]".into()));
        assert_eq!(samples[0].seconds, 40);
    }
}
