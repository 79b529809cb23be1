//! `GET /metrics`: the present as Prometheus reads it (OpenMetrics text). Of whom only home or away is to be known,
//! nothing else is said. Shares are ratios from 0 to 1, signals and powers dBm; what is not known is left out.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use whichroom_presence::output::{AccessPointView, DeviceView, Home, Link, PersonView, View};
use whichroom_wire::Id;
use whichroom_wire::aggregator::{DeviceState, HouseState};

/// What kind of text it is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted beside the view.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Roams of each device since the start.
    pub roams: BTreeMap<Id, u64>,
    /// Whether the history is written; nothing if none is kept.
    pub history_is_written: Option<bool>,
    /// Whether there is a connection to Home Assistant's own broker; nothing if it has none.
    pub home_assistant_is_connected: Option<bool>,
}

type Labels = Vec<(&'static str, String)>;

#[expect(
    clippy::disallowed_types,
    reason = "the server runs on 64-bit machines; the library counts in these"
)]
type Value = Gauge<f64, std::sync::atomic::AtomicU64>;

/// The text of a scrape.
pub fn metrics(view: &View, counted: &Counted) -> String {
    let mut sheet = Sheet { registry: Registry::with_prefix("whichroom") };
    sheet.gauge(
        "build_info",
        "The release that runs",
        [(vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0)],
    );
    sheet.house(view);
    sheet.people(&view.people);
    sheet.devices(view, counted);
    sheet.access_points(&view.access_points);
    sheet.radios(&view.access_points);
    if let Some(is_connected) = counted.home_assistant_is_connected {
        let help = "Whether there is a connection to Home Assistant's own broker";
        sheet.gauge("home_assistant_broker_up", help, [(Vec::new(), truth(is_connected))]);
    }
    if let Some(is_written) = counted.history_is_written {
        sheet.gauge("history_up", "Whether the history is written", [(Vec::new(), truth(is_written))]);
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &sheet.registry);
    text
}

struct Sheet {
    registry: Registry,
}

impl Sheet {
    fn gauge(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, f64)>) {
        let family = Family::<Labels, Value>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.registry.register(name, help, family);
    }

    fn counter(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Labels, u64)>) {
        let family = Family::<Labels, Counter>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).inc_by(value);
        }
        self.registry.register(name, help, family);
    }

    fn house(&mut self, view: &View) {
        let states = [
            ("occupied", HouseState::Occupied),
            ("empty", HouseState::Empty),
            ("undecided", HouseState::Undecided),
        ];
        let of = states.map(|(name, state)| (label("state", name), truth(view.house.state == state)));
        self.gauge("house_state", "1 for the state the house is in", of);
        self.gauge("people_home", "People who are home", [(Vec::new(), count(view.house.people.len()))]);
        self.gauge(
            "guest_devices",
            "Unknown devices on guest networks",
            [(Vec::new(), f64::from(view.house.guests))],
        );
        self.gauge("problems", "Things that need attention", [(Vec::new(), count(view.problems.len()))]);
        let rooms = view.rooms.iter().map(|room| (label("room", room.id.as_str()), count(room.people.len())));
        self.gauge("room_people", "People in a room", rooms);
    }

    fn people(&mut self, people: &[PersonView]) {
        let home = people.iter().filter_map(|person| {
            let is_home = match person.home {
                Home::Home => true,
                Home::Away => false,
                Home::Undecided => return None,
            };
            Some((label("person", person.id.as_str()), truth(is_home)))
        });
        self.gauge("person_home", "Whether a person is home", home);
        let sure = people.iter().filter_map(|person| {
            let room = person.room.as_ref().filter(|_| !person.home_only)?;
            let labels = vec![("person", person.id.to_string()), ("room", room.to_string())];
            Some((labels, f64::from(person.confidence) / 100.0))
        });
        self.gauge("person_room_confidence_ratio", "How sure the room of a person is", sure);
    }

    fn devices(&mut self, view: &View, counted: &Counted) {
        let private: BTreeSet<&Id> =
            view.people.iter().filter(|person| person.home_only).map(|person| &person.id).collect();
        let is_open =
            |device: &&DeviceView| !device.person.as_ref().is_some_and(|person| private.contains(person));
        let devices: Vec<&DeviceView> = view.devices.iter().filter(is_open).collect();
        let present = devices
            .iter()
            .map(|device| (label("device", device.id.as_str()), truth(device.state == DeviceState::Present)));
        self.gauge("device_present", "Whether a device is connected", present);
        let signals = devices.iter().filter(|device| device.state == DeviceState::Present);
        let signals = signals.filter_map(|device| {
            let labels = vec![("device", device.id.to_string()), ("ap", device.ap.as_ref()?.to_string())];
            Some((labels, f64::from(device.signal_dbm?)))
        });
        self.gauge("device_signal_dbm", "Signal of a device at its access point", signals);
        let roams = devices.iter().map(|device| {
            let roams = counted.roams.get(&device.id).copied().unwrap_or(0);
            (label("device", device.id.as_str()), roams)
        });
        self.counter("device_roams", "Roams of a device since the start", roams);
    }

    fn access_points(&mut self, aps: &[AccessPointView]) {
        let of = |ap: &AccessPointView| label("ap", ap.id.as_str());
        self.gauge(
            "ap_up",
            "Whether an access point reports",
            aps.iter().map(|ap| (of(ap), truth(ap.link == Link::Reporting))),
        );
        self.gauge(
            "ap_stations",
            "Associated stations",
            aps.iter().map(|ap| (of(ap), f64::from(ap.stations))),
        );
        self.counter(
            "ap_rejected",
            "Readings dropped as unreadable",
            aps.iter().map(|ap| (of(ap), ap.rejected)),
        );
        self.counter(
            "ap_event_gaps",
            "Gaps in the events of an access point",
            aps.iter().map(|ap| (of(ap), ap.gaps)),
        );
        let duplicates = aps.iter().map(|ap| (of(ap), ap.duplicates));
        self.counter("ap_duplicates", "Messages of a second access point of that name", duplicates);
    }

    fn radios(&mut self, aps: &[AccessPointView]) {
        let each = || {
            aps.iter().flat_map(|ap| ap.radios.iter().map(move |radio| (ap, radio))).map(|(ap, radio)| {
                let labels = vec![
                    ("ap", ap.id.to_string()),
                    ("ifname", radio.ifname.clone()),
                    ("bssid", radio.bssid.map(|bssid| bssid.to_string()).unwrap_or_default()),
                    ("ssid", radio.ssid.clone().unwrap_or_default()),
                ];
                (labels, radio)
            })
        };
        let up = each().map(|(labels, radio)| (labels, truth(radio.is_enabled())));
        self.gauge("radio_up", "Whether a BSS serves stations", up);
        let channels = each().filter_map(|(labels, radio)| Some((labels, f64::from(radio.channel?))));
        self.gauge("radio_channel", "Channel of a BSS", channels);
        let powers = each().filter_map(|(labels, radio)| Some((labels, f64::from(radio.txpower_dbm?))));
        self.gauge("radio_txpower_dbm", "Transmit power of a BSS", powers);
        let noise = each().filter_map(|(labels, radio)| Some((labels, f64::from(radio.noise_dbm?))));
        self.gauge("radio_noise_dbm", "Noise floor of a BSS", noise);
        let busy = each()
            .filter_map(|(labels, radio)| Some((labels, f64::from(radio.utilization_permille?) / 1000.0)));
        self.gauge("radio_utilization_ratio", "Share of time the channel of a BSS is busy", busy);
    }
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

/// Counts of a home are far below what a float holds exactly.
fn count(things: usize) -> f64 {
    things as f64
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::web::example;

    #[test]
    fn a_home_with_everything() {
        let roams = BTreeMap::from([("annas-phone".parse().unwrap(), 7)]);
        let counted =
            Counted { roams, history_is_written: Some(true), home_assistant_is_connected: Some(false) };
        assert_snapshot!(in_order(&metrics(&example::view(), &counted)));
    }

    /// The library writes the values of a metric in no order.
    fn in_order(text: &str) -> String {
        let blocks = text.split_inclusive('\n').fold(Vec::<Vec<&str>>::new(), |mut blocks, line| {
            match blocks.last_mut().filter(|_| !line.starts_with("# HELP")) {
                Some(block) => block.push(line),
                None => blocks.push(vec![line]),
            }
            blocks
        });
        let sorted = blocks.into_iter().flat_map(|mut block| {
            block.sort_by_key(|line| (!line.starts_with('#'), *line));
            block
        });
        sorted.collect()
    }

    #[test]
    fn the_dashboard_asks_for_nothing_that_is_not_there() {
        let dashboard = include_str!("../../../../files/grafana/whichroom.json");
        assert!(serde_json::from_str::<serde_json::Value>(dashboard).is_ok());
        let counted = Counted { history_is_written: Some(true), ..Counted::default() };
        let mut view = example::view();
        let radios = view.access_points.iter_mut().flat_map(|ap| &mut ap.radios);
        radios.for_each(|radio| radio.utilization_permille = Some(120));
        let text = metrics(&view, &counted);
        let is_of_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        let asked = dashboard.split("whichroom_").skip(1).map(|rest| rest.split(|c| !is_of_name(c)).next());
        let asked: BTreeSet<String> = asked.flatten().map(|name| format!("whichroom_{name}")).collect();
        assert!(asked.len() > 8, "{asked:?}");
        for name in asked {
            assert!(text.contains(&format!("\n{name}{{")), "{name}");
        }
    }

    #[test]
    fn of_whom_only_home_or_away_is_to_be_known_nothing_else_is_said() {
        let mut view = example::view();
        let person = view.people[0].id.clone();
        view.people[0].home_only = true;
        let text = metrics(&view, &Counted::default());
        assert!(text.contains(&format!("person_home{{person=\"{person}\"}}")));
        let devices = view.devices.iter().filter(|device| device.person.as_ref() == Some(&person));
        for device in devices {
            assert!(!text.contains(&format!("device=\"{}\"", device.id)), "{text}");
        }
        assert!(!text.contains(&format!("confidence_ratio{{person=\"{person}\"")), "{text}");
    }
}
