//! Advice put to the proof: the demonstration's home lives for days, its report is taken at its word, what it advises is
//! set on the simulated radios, and the home lives on.

use std::collections::BTreeSet;

use whichroom_presence::output::Effect;
use whichroom_presence::{Engine, Moment};
use whichroom_roaming::{
    Advice, AdviceKind, Analysis, EpisodeKind, Parameters, Range, Report, Setting, Site, Time, Verdict,
    notes_of_radios,
};
use whichroom_simulator::{Phone, Plan, Setting as RadioSetting, World};

use crate::history::{Chronicle, Material, site_of};
use crate::report::report_on;
use crate::score::house::setup;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A home with an aggregator's history, without a broker.
struct Home {
    world: World,
    engine: Engine,
    chronicle: Chronicle,
    material: Material,
    site: Site,
}

fn time(ms: u64) -> Time {
    Time::from_ms(i64::try_from(ms).unwrap())
}

fn moment(ms: u64) -> Moment {
    Moment::from_ms(i64::try_from(ms).unwrap())
}

impl Home {
    fn new(plan: Plan, seed: u64) -> Home {
        let mut world = World::new(plan, seed);
        world.handle_tracked(&world.phones().iter().flat_map(Phone::macs).collect::<Vec<_>>());
        let setup = setup::of(&world);
        let mut engine = Engine::new(setup.clone(), None, moment(0));
        engine.witness_all();
        engine.handle_broker(true, moment(0));
        let chronicle = Chronicle::new(&setup, None, time(0));
        Home { world, engine, chronicle, material: Material::default(), site: site_of(&setup) }
    }

    fn live_for(&mut self, ms: u64) {
        let end_ms = self.world.now_ms() + ms;
        while self.world.now_ms() < end_ms {
            let outputs = self.world.advance_to((self.world.now_ms() + 60_000).min(end_ms));
            for output in outputs {
                let (topic, payload) = (output.topic().to_string(), output.payload(output.at_ms));
                while let Some((at, _)) =
                    self.engine.poll_timeout().filter(|(at, _)| *at <= moment(output.at_ms))
                {
                    self.engine.handle_timeout(at);
                    self.drain(u64::try_from(at.as_ms()).unwrap());
                }
                self.engine.handle_publish(&topic, &payload, false, moment(output.at_ms));
                self.drain(output.at_ms);
            }
        }
    }

    fn drain(&mut self, now_ms: u64) {
        while let Some(effect) = self.engine.poll_effect() {
            if let Effect::Ask { ap, request } = &effect {
                self.world.handle_request(ap, request);
            }
        }
        while let Some(witnessed) = self.engine.poll_witnessed() {
            self.chronicle.handle_witnessed(witnessed, |at| Time::from_ms(at.as_ms()));
        }
        self.chronicle.handle_timeout(time(now_ms));
        self.chronicle.take_entries().into_iter().for_each(|entry| self.material.add(entry));
    }

    /// The report on the last days; changes are compared over everything there is.
    fn report(&self, days: u64) -> Report {
        let mut material = self.material.clone();
        material.notes = notes_of_radios(&material.radios);
        let now_ms = self.world.now_ms();
        let range = Range::new(time(now_ms - days * DAY_MS), time(now_ms));
        report_on(material, &self.site, range, None)
    }

    /// Does what is advised, or with powers the opposite of it.
    fn follow(&mut self, advice: &Advice, faithfully: bool) {
        assert!(!advice.steps.is_empty(), "{advice:?}");
        for step in &advice.steps {
            let setting = match step.setting {
                Setting::TransmitPower { to_dbm, .. } if faithfully => RadioSetting::TransmitPower(to_dbm),
                Setting::TransmitPower { from_dbm, to_dbm } => {
                    RadioSetting::TransmitPower(2 * from_dbm - to_dbm)
                }
                Setting::Channel { channel, width_mhz, .. } => RadioSetting::Channel { channel, width_mhz },
                Setting::Measurement => RadioSetting::Measurement(true),
                Setting::FastTransition => RadioSetting::FastTransition(true),
                Setting::Suggest { .. } => panic!("no usteer runs here"),
            };
            for bssid in &step.bssids {
                assert!(self.world.set_radio(*bssid, setting), "{bssid}");
            }
        }
    }

    /// Places where a phone hears less than the floor of every advice.
    fn dark_places(&self) -> BTreeSet<usize> {
        let coverage = self.world.coverage_dbm();
        let floor_dbm = f64::from(Parameters::default().power_floor_dbm);
        coverage.iter().enumerate().filter(|(_, dbm)| **dbm < floor_dbm).map(|(place, _)| place).collect()
    }
}

fn thrashing(report: &Report) -> u32 {
    let episodes = report.episodes.iter().filter(|episode| episode.kind == EpisodeKind::Thrashing);
    episodes.map(|episode| episode.changes).sum()
}

fn of_power(report: &Report) -> Option<&Advice> {
    let is_of_power = |kind| matches!(kind, AdviceKind::LowerPower | AdviceKind::RaisePower);
    report.advice.iter().find(|advice| is_of_power(advice.kind))
}

/// Devices in a coverage hole.
fn in_holes(report: &Report) -> BTreeSet<&str> {
    report.holes.iter().map(|hole| hole.device.name.as_str()).collect()
}

#[test]
fn the_first_hour_shows_who_is_sick_and_a_healthy_home_shows_nobody() {
    for seed in 1..=3 {
        let episodes = |plan| {
            let mut home = Home::new(plan, seed);
            home.live_for(HOUR_MS);
            let (material, range) = (&home.material, Range::new(time(0), time(HOUR_MS)));
            let parameters = Parameters::default();
            let timeline = Analysis::new(material.rows(), &home.site, range, &parameters).timeline(300, 0);
            let rows = timeline.rows.into_iter().filter(|row| !row.episodes.is_empty());
            rows.map(|row| (row.device.name, row.episodes)).collect::<Vec<_>>()
        };
        let [(name, marks)] = &episodes(Plan::house().with_restless_phone())[..] else {
            panic!("seed {seed}")
        };
        assert_eq!(name, "David's phone");
        assert!(marks.iter().any(|mark| mark.kind == EpisodeKind::Thrashing), "{marks:?}");
        assert_eq!(episodes(Plan::house()), []);
    }
}

#[test]
fn what_is_advised_cures_the_sick_phone_and_takes_nothing_from_anybody() {
    const DAYS: u64 = 3;
    let mut home = Home::new(Plan::house().with_restless_phone(), 1);
    home.live_for(DAYS * DAY_MS);
    let (before, dark) = (home.report(DAYS), home.dark_places());
    assert!(thrashing(&before) > 300, "{}", thrashing(&before));
    let advice = of_power(&before).unwrap();
    assert!(advice.reason.starts_with("David's phone changed"), "{}", advice.reason);
    home.follow(advice, true);
    home.live_for(DAYS * DAY_MS);
    let after = home.report(DAYS);
    // The access point said itself what was changed.
    let [comparison] = &after.comparisons[..] else { panic!("{:?}", after.comparisons) };
    assert!(comparison.note.text.contains(": power "), "{}", comparison.note.text);
    assert_eq!(comparison.verdict, Verdict::Better, "{}", comparison.because);
    assert!(comparison.measures[0].ratio_high < 1.0);
    assert!(thrashing(&after) * 10 < thrashing(&before), "{} of {}", thrashing(&after), thrashing(&before));
    assert!(in_holes(&after).is_subset(&in_holes(&before)), "{:?}", after.holes);
    assert!(home.dark_places().is_subset(&dark));
}

#[test]
fn the_opposite_of_what_is_advised_cures_nobody() {
    const DAYS: u64 = 2;
    let mut home = Home::new(Plan::house().with_restless_phone(), 4);
    home.live_for(DAYS * DAY_MS);
    let before = home.report(DAYS);
    home.follow(of_power(&before).unwrap(), false);
    home.live_for(DAYS * DAY_MS);
    let after = home.report(DAYS);
    assert!(thrashing(&after) * 2 > thrashing(&before), "{} of {}", thrashing(&after), thrashing(&before));
    assert_ne!(after.comparisons[0].verdict, Verdict::Better, "{:?}", after.comparisons);
    assert!(of_power(&after).is_some());
}

#[test]
fn a_healthy_home_is_advised_nothing_once_it_is_set_up_as_advised() {
    const DAYS: u64 = 2;
    // A household in which no phone clings to an access point for minutes: that would be a finding.
    let mut home = Home::new(Plan::house(), 1);
    home.live_for(DAYS * DAY_MS);
    let before = home.report(DAYS);
    let kinds: Vec<AdviceKind> = before.advice.iter().map(|advice| advice.kind).collect();
    use AdviceKind::{EnableFastTransition, EnableMeasurement, MoveChannel};
    assert_eq!(kinds, [EnableMeasurement, EnableFastTransition, MoveChannel]);
    before.advice.iter().for_each(|advice| home.follow(advice, true));
    // What is said until the last radio is back is of the home before.
    home.live_for(60_000);
    home.live_for(DAYS * DAY_MS);
    let after = home.report(DAYS);
    assert_eq!(after.advice, []);
    assert_eq!(after.clashes.len(), 3, "three channels for six access points at 2.4 GHz");
    assert!(before.fast.fast == 0 && after.fast.fast > 0, "{:?}", after.fast);
}
