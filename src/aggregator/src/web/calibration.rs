//! The page's part about calibration, as JSON: whom one can speak for, how far the last ones are, and how well rooms
//! can be told at all. The samples themselves the page asks for (`samples`) when `samples_revision` is another.

use std::collections::BTreeMap;

use serde::Serialize;
use whichroom_presence::output::{AccessPointView, Link, PersonView, Stage, View};
use whichroom_wire::Id;
use whichroom_wire::aggregator::DeviceState;

use super::page::Time;

/// See the module.
#[derive(Serialize)]
pub(super) struct Calibration<'a> {
    who: Vec<Who<'a>>,
    /// Names of all devices whose room may be known.
    devices: BTreeMap<&'a Id, &'a str>,
    recent: Vec<Recent<'a>>,
    samples_revision: u64,
    /// Minutes in which a device was heard, all devices together.
    heard_minutes: u32,
    /// Share of them in which several access points took part.
    heard_by_several_percent: Option<u32>,
    /// Access points that nothing shows to have 802.11k, by name.
    without_80211k: Vec<&'a str>,
}

/// A person, or a device that is not simply a person's only one.
#[derive(Serialize)]
struct Who<'a> {
    id: &'a Id,
    name: &'a str,
    kind: &'static str,
    is_connected: bool,
}

/// The last calibration of a device.
#[derive(Serialize)]
struct Recent<'a> {
    device: &'a Id,
    room: &'a Id,
    stage: &'static str,
    until: Option<Time>,
    sample: Option<u32>,
    error: Option<String>,
}

impl<'a> Calibration<'a> {
    pub(super) fn of(view: &'a View, time: impl Fn(whichroom_presence::Moment) -> Time) -> Calibration<'a> {
        let recent = view.calibrations.iter().map(|calibration| {
            let (stage, until, sample, error) = match &calibration.stage {
                Stage::Listening { until } => ("listening", Some(time(*until)), None, None),
                Stage::Done { sample } => ("done", None, Some(*sample), None),
                Stage::Failed(error) => ("failed", None, None, Some(error.to_string())),
            };
            Recent { device: &calibration.device, room: &calibration.room, stage, until, sample, error }
        });
        let devices = view.devices.iter().filter(|device| !is_home_only(view, device.person.as_ref()));
        Calibration {
            who: who(view),
            devices: devices.map(|device| (&device.id, device.name.as_str())).collect(),
            recent: recent.collect(),
            samples_revision: view.samples_revision,
            heard_minutes: view.heard.minutes,
            heard_by_several_percent: view.heard.percent(),
            without_80211k: view
                .access_points
                .iter()
                .filter(|ap| lacks_80211k(ap))
                .map(|ap| ap.name.as_str())
                .collect(),
        }
    }
}

/// People first, then the devices of those with several, and those of nobody.
fn who(view: &View) -> Vec<Who<'_>> {
    let of = |person: &PersonView| {
        let id = person.id.clone();
        view.devices.iter().filter(move |device| device.person.as_ref() == Some(&id))
    };
    let people = view.people.iter().filter(|person| !person.home_only).map(|person| Who {
        id: &person.id,
        name: &person.name,
        kind: "person",
        is_connected: of(person).any(|device| device.state == DeviceState::Present),
    });
    let is_single =
        |person: &Id| view.people.iter().any(|known| known.id == *person && of(known).count() == 1);
    let devices = view.devices.iter().filter(|device| {
        !is_home_only(view, device.person.as_ref()) && !device.person.as_ref().is_some_and(is_single)
    });
    let devices = devices.map(|device| Who {
        id: &device.id,
        name: &device.name,
        kind: "device",
        is_connected: device.state == DeviceState::Present,
    });
    people.chain(devices).collect()
}

fn is_home_only(view: &View, person: Option<&Id>) -> bool {
    person.is_some_and(|id| view.people.iter().any(|person| person.id == *id && person.home_only))
}

/// Stations are on it, and none of them ever said that it can report what it hears.
fn lacks_80211k(ap: &AccessPointView) -> bool {
    ap.link == Link::Reporting && ap.stations > 0 && ap.radios.iter().all(|radio| radio.rrm != Some(true))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use whichroom_presence::Moment;
    use whichroom_presence::calibration::CalibrateError;

    use super::super::example;
    use super::*;

    fn page(view: &View) -> serde_json::Value {
        let time = |at: Moment| Time { text: String::new(), ms: at.as_ms() };
        serde_json::to_value(Calibration::of(view, time)).unwrap()
    }

    #[test]
    fn one_speaks_for_people_and_for_devices_that_are_not_their_only_one() {
        let mut view = example::view();
        let ids = |view: &View| -> Vec<String> {
            let page = page(view);
            page["who"].as_array().unwrap().iter().map(|who| who["id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(ids(&view), ["anna", "zoe", "bob"], "the cleaner's room is nobody's business");
        let watch = whichroom_presence::output::DeviceView {
            id: "anna-watch".parse().unwrap(),
            ..view.devices[0].clone()
        };
        view.devices.push(watch);
        assert_eq!(ids(&view), ["anna", "zoe", "bob", "anna-phone", "anna-watch"]);
        view.people[0].home_only = true;
        assert_eq!(ids(&view), ["zoe", "bob"]);
        assert_eq!(page(&view)["devices"], json!({}));
    }

    #[test]
    fn the_last_one_of_a_device_is_told_with_its_outcome() {
        let mut view = example::view();
        assert_eq!(page(&view)["recent"][0]["until"]["ms"], 20_000);
        view.calibrations[0].stage = Stage::Failed(CalibrateError::NotHeard { name: "X".to_owned() });
        let recent = &page(&view)["recent"][0];
        assert!(recent["stage"] == "failed" && recent["error"].as_str().unwrap().contains("heard of X"));
        view.calibrations[0].stage = Stage::Done { sample: 7 };
        assert_eq!(page(&view)["recent"][0]["sample"], 7);
    }

    #[test]
    fn access_points_without_80211k_are_named_once_somebody_is_on_them() {
        let mut view = example::view();
        view.access_points.iter_mut().flat_map(|ap| &mut ap.radios).for_each(|radio| radio.rrm = None);
        view.access_points[0].stations = 0;
        assert_eq!(page(&view)["without_80211k"], json!([view.access_points[1].name]));
        view.access_points[1].radios[0].rrm = Some(true);
        assert_eq!(page(&view)["without_80211k"], json!([]));
    }
}
