//! What of ours lies retained on the broker: compares it with what should, and says what to send, so that a removed
//! person leaves no ghost, neither in Home Assistant nor as a topic, also when the removal happened while we were down.
//!
//! What goes away inside a device takes two steps. A component that is dropped (somebody becomes home-only) must be
//! named once more, with its platform alone; leaving it out does nothing. An option that is dropped (a room was renamed)
//! is an error in Home Assistant's log while its sensor still shows it. So both stay in the retained payload until
//! Home Assistant's next birth message: it may be down now, and has read everything retained before it says it was born.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use whichroom_mqtt::Publish;
use whichroom_presence::Moment;

use super::{Discovery, Home, discovery};

/// What should be on the broker.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Desired {
    discovery: Discovery,
    states: BTreeSet<String>,
}

impl Desired {
    /// For this home; without a prefix Home Assistant is told nothing.
    pub fn new(home: &Home, prefix: Option<&str>) -> Desired {
        let discovery = prefix.map(|prefix| discovery(home, prefix)).unwrap_or_default();
        Desired { discovery, states: home.states() }
    }
}

/// A retained topic of ours, as the state file keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owned {
    /// The full topic.
    pub topic: String,
    /// What Home Assistant may know of this device; nothing for a state topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Known>,
}

/// What Home Assistant may know of a device, from this or an earlier payload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Platforms by the component's key.
    components: BTreeMap<String, String>,
    /// States that the device's room sensor may show.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    options: BTreeSet<String>,
}

/// What is on the broker, as far as we put it there.
#[derive(Debug, Clone, Default)]
pub struct Published {
    desired: Desired,
    /// Discovery payloads as sent last.
    sent: Discovery,
    /// What Home Assistant may know, by discovery topic.
    devices: BTreeMap<String, Known>,
    /// State topics that may hold a message.
    states: BTreeSet<String>,
    /// Topics emptied, and not known to be empty.
    removed: BTreeSet<String>,
    /// When to repeat everything for a Home Assistant that was born.
    repeat_at: Option<Moment>,
}

impl Published {
    /// From the state file; an empty list at the very first start.
    pub fn new(owned: Vec<Owned>) -> Published {
        let mut published = Published::default();
        for Owned { topic, device } in owned {
            match device {
                Some(known) => drop(published.devices.insert(topic, known)),
                None => drop(published.states.insert(topic)),
            }
        }
        published
    }

    /// For the state file.
    pub fn owned(&self) -> Vec<Owned> {
        let devices = self.devices.iter();
        let devices =
            devices.map(|(topic, known)| Owned { topic: topic.clone(), device: Some(known.clone()) });
        let states = self.states.union(&self.removed);
        let states = states.map(|topic| Owned { topic: topic.clone(), device: None });
        devices.chain(states).collect()
    }

    /// What to send so that the broker holds what is desired: removals, also earlier ones that it did not acknowledge,
    /// then discovery, hub first. Whenever this is not empty every state is to be published after it: Home Assistant
    /// does not read retained ones again.
    pub fn update(&mut self, desired: Desired) -> Vec<Publish> {
        self.desired = desired;
        let mut publishes = self.remove();
        for topic in self.desired.discovery.keys().cloned().collect::<Vec<_>>() {
            publishes.extend(self.announce(&topic));
        }
        publishes
    }

    /// Every device once more, for a broker or a Home Assistant that may have lost it. States are to follow. Removals are
    /// not repeated here: Home Assistant warns of a second one.
    pub fn repeat(&self) -> Vec<Publish> {
        self.sent.iter().map(|(topic, payload)| retained(topic, payload)).collect()
    }

    /// Home Assistant started. `delay_ms` is random, 0 to 5 s: others repeat now, too.
    pub fn handle_birth(&mut self, now: Moment, delay_ms: u64) {
        self.repeat_at = Some(now.after(delay_ms));
        // What it should forget it has read by now.
        for (topic, known) in &mut self.devices {
            if let Some(payload) = self.desired.discovery.get(topic) {
                *known = Known::of(payload);
                self.sent.insert(topic.clone(), payload.clone());
            }
        }
    }

    /// When to call [`Published::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.repeat_at
    }

    /// Everything once more if Home Assistant was born and the delay is over. States are to follow.
    pub fn handle_timeout(&mut self, now: Moment) -> Vec<Publish> {
        if self.repeat_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.repeat_at = None;
        self.repeat()
    }

    /// The broker has this message. A removal it has acknowledged is done; until then it is repeated.
    pub fn handle_acked(&mut self, publish: &Publish) {
        if publish.payload.is_empty() {
            self.removed.remove(&publish.topic);
        }
    }

    /// Empties what is ours and no longer desired: devices first, so that no entity sees its state emptied.
    fn remove(&mut self) -> Vec<Publish> {
        // What is desired is never emptied: with its tracker a person in Home Assistant loses the link to it.
        let desired = |topic: &&String| {
            self.desired.discovery.contains_key(*topic) || self.desired.states.contains(*topic)
        };
        let ours = self.devices.keys().chain(&self.states);
        let gone: Vec<String> = ours.filter(|topic| !desired(topic)).cloned().collect();
        self.removed.retain(|topic| !desired(&topic));
        for topic in &gone {
            self.devices.remove(topic);
            self.sent.remove(topic);
        }
        self.states.clone_from(&self.desired.states);
        let unacknowledged = self.removed.iter().cloned().collect::<Vec<_>>();
        self.removed.extend(gone.iter().cloned());
        unacknowledged.iter().chain(&gone).map(|topic| empty(topic)).collect()
    }

    /// The device's payload, if it is another one than the one sent last.
    fn announce(&mut self, topic: &str) -> Option<Publish> {
        let mut payload = self.desired.discovery.get(topic)?.clone();
        if let Some(known) = self.devices.get(topic) {
            known.keep_in(&mut payload);
        }
        self.devices.insert(topic.to_owned(), Known::of(&payload));
        if self.sent.get(topic) == Some(&payload) {
            return None;
        }
        let publish = retained(topic, &payload);
        self.sent.insert(topic.to_owned(), payload);
        Some(publish)
    }
}

impl Known {
    /// What Home Assistant knows once it has read this payload.
    fn of(payload: &Value) -> Known {
        let components = payload["components"].as_object().into_iter().flatten();
        let platforms = components
            .filter_map(|(key, component)| Some((key.clone(), component["platform"].as_str()?.to_owned())));
        let options = payload["components"]["room"]["options"].as_array().into_iter().flatten();
        let options = options.filter_map(|option| option.as_str().map(str::to_owned));
        Known { components: platforms.collect(), options: options.collect() }
    }

    /// Adds to the payload what it dropped.
    fn keep_in(&self, payload: &mut Value) {
        for (key, platform) in &self.components {
            if payload["components"].get(key).is_none() {
                payload["components"][key] = json!({"platform": platform});
            }
        }
        let options = payload.pointer_mut("/components/room/options").and_then(Value::as_array_mut);
        let Some(options) = options else { return };
        for option in &self.options {
            if !options.iter().any(|known| known == option) {
                options.push(json!(option));
            }
        }
    }
}

fn retained(topic: &str, payload: &Value) -> Publish {
    Publish { topic: topic.to_owned(), payload: payload.to_string().into_bytes(), retain: true }
}

fn empty(topic: &str) -> Publish {
    Publish { topic: topic.to_owned(), payload: Vec::new(), retain: true }
}

#[cfg(test)]
mod tests {
    use super::super::rules::small_home;
    use super::*;

    const HUB: &str = "homeassistant/device/whichroom_home_hub/config";
    const BOB: &str = "homeassistant/device/whichroom_home_person_bob/config";
    const CLEANER: &str = "homeassistant/device/whichroom_home_person_cleaner/config";

    fn desired(home: &Home) -> Desired {
        Desired::new(home, Some("homeassistant"))
    }

    fn topics(publishes: &[Publish]) -> Vec<&str> {
        publishes.iter().map(|publish| publish.topic.as_str()).collect()
    }

    fn components(publish: &Publish) -> Value {
        serde_json::from_slice::<Value>(&publish.payload).unwrap()["components"].clone()
    }

    fn without_bob() -> Home {
        let mut home = small_home();
        home.people.retain(|person| person.id.as_str() != "bob");
        home
    }

    /// Bob's room is to be known no more.
    fn discreet() -> Home {
        let mut home = small_home();
        home.people[0].home_only = true;
        home
    }

    /// What a restart leaves: the state file's text.
    fn restarted(published: &Published) -> Published {
        let saved = serde_json::to_string(&published.owned()).unwrap();
        Published::new(serde_json::from_str(&saved).unwrap())
    }

    #[test]
    fn the_first_start_announces_everything_hub_first() {
        let mut published = Published::default();
        let publishes = published.update(desired(&small_home()));
        assert_eq!(publishes[0].topic, HUB);
        assert_eq!(publishes.len(), 6);
        assert!(publishes.iter().all(|publish| publish.retain && !publish.payload.is_empty()));
    }

    #[test]
    fn what_is_there_is_not_sent_again() {
        let mut published = Published::default();
        published.update(desired(&small_home()));
        assert_eq!(published.update(desired(&small_home())), []);
    }

    #[test]
    fn a_new_room_becomes_an_option_of_every_person_with_rooms() {
        let mut published = Published::default();
        published.update(desired(&small_home()));
        let mut home = small_home();
        home.rooms.push(super::super::Room { id: "attic".parse().unwrap(), name: "Attic".into() });
        let publishes = published.update(desired(&home));
        assert_eq!(topics(&publishes), [BOB, "homeassistant/device/whichroom_home_room_attic/config"]);
        assert!(components(&publishes[0])["room"]["options"].as_array().unwrap().contains(&json!("Attic")));
    }

    #[test]
    fn removed_person() {
        let mut published = Published::default();
        published.update(desired(&small_home()));
        let publishes = published.update(desired(&without_bob()));
        assert_eq!(topics(&publishes), [BOB, "whichroom/home/person/bob"]);
        assert!(publishes.iter().all(|publish| publish.retain && publish.payload.is_empty()));
    }

    #[test]
    fn removed_person_while_we_were_down() {
        let mut before = Published::default();
        before.update(desired(&small_home()));
        let publishes = restarted(&before).update(desired(&without_bob()));
        assert_eq!(topics(&publishes[..2]), [BOB, "whichroom/home/person/bob"]);
        assert!(publishes[0].payload.is_empty() && publishes[1].payload.is_empty());
        assert!(!topics(&publishes[2..]).contains(&BOB));
    }

    #[test]
    fn removed_person_is_repeated_until_the_broker_has_it() {
        let mut published = Published::default();
        published.update(desired(&small_home()));
        let removals = published.update(desired(&without_bob()));
        assert!(
            published.repeat().iter().all(|publish| !publish.payload.is_empty()),
            "once is enough for now"
        );
        assert_eq!(published.update(desired(&without_bob())), removals);
        assert!(restarted(&published).update(desired(&without_bob())).starts_with(&removals));
        for removal in &removals {
            published.handle_acked(removal);
        }
        assert!(published.repeat().iter().all(|publish| !publish.payload.is_empty()));
        assert!(
            published
                .owned()
                .iter()
                .all(|owned| !owned.topic.contains("bob") || owned.topic.contains("phone"))
        );
    }

    #[test]
    fn who_came_back_is_not_emptied_again() {
        let mut published = Published::default();
        published.update(desired(&small_home()));
        published.update(desired(&without_bob()));
        assert_eq!(topics(&published.update(desired(&small_home()))), [BOB]);
        assert_eq!(published.update(desired(&small_home())), []);
        assert!(published.repeat().iter().all(|publish| !publish.payload.is_empty()));
    }

    #[test]
    fn who_came_back_while_the_removal_was_unacknowledged_is_never_emptied() {
        let mut before = Published::default();
        before.update(desired(&small_home()));
        before.update(Desired::new(&without_bob(), None));
        let publishes = restarted(&before).update(desired(&small_home()));
        assert_eq!(publishes.len(), 6);
        assert!(publishes.iter().all(|publish| !publish.payload.is_empty()));
    }

    #[test]
    fn a_dropped_component_is_named_until_home_assistant_has_read_it() {
        let mut published = Published::default();
        published.update(desired(&small_home()));
        let publishes = published.update(desired(&discreet()));
        assert_eq!(topics(&publishes), [BOB]);
        assert_eq!(components(&publishes[0])["room"], json!({"platform": "sensor"}));
        assert_eq!(components(&publishes[0])["confidence"], json!({"platform": "sensor"}));

        published.handle_birth(Moment::from_ms(1_000), 2_000);
        let repeated = published.handle_timeout(Moment::from_ms(3_000));
        let bob = repeated.iter().find(|publish| publish.topic == BOB).unwrap();
        assert_eq!(components(bob).as_object().unwrap().keys().collect::<Vec<_>>(), ["moved", "tracker"]);
        assert_eq!(published.update(desired(&discreet())), []);
    }

    #[test]
    fn a_component_dropped_while_we_were_down_is_named_too() {
        let mut before = Published::default();
        before.update(desired(&small_home()));
        let publishes = restarted(&before).update(desired(&discreet()));
        let bob = publishes.iter().find(|publish| publish.topic == BOB).unwrap();
        assert_eq!(components(bob)["room"], json!({"platform": "sensor"}));
        let cleaner = publishes.iter().find(|publish| publish.topic == CLEANER).unwrap();
        assert!(components(cleaner).get("room").is_none());
    }

    #[test]
    fn a_renamed_room_stays_an_option_until_home_assistant_was_born() {
        let mut before = Published::default();
        before.update(desired(&small_home()));
        let mut home = small_home();
        home.rooms[0].name = "Küche".into();
        let mut published = restarted(&before);
        let options = |publishes: &[Publish]| {
            let bob = publishes.iter().find(|publish| publish.topic == BOB).unwrap();
            components(bob)["room"]["options"].clone()
        };
        let announced = published.update(desired(&home));
        assert_eq!(
            options(&announced),
            json!(["Küche", "Living room", "Away", "Home", "Unclear", "Kitchen"])
        );
        assert_eq!(published.update(desired(&home)), []);
        published.handle_birth(Moment::from_ms(0), 0);
        let repeated = published.handle_timeout(Moment::from_ms(0));
        assert_eq!(options(&repeated), json!(["Küche", "Living room", "Away", "Home", "Unclear"]));
    }

    #[test]
    fn a_birth_repeats_everything_once_after_its_delay() {
        let mut published = Published::default();
        let announced = published.update(desired(&small_home()));
        published.handle_birth(Moment::from_ms(10_000), 3_500);
        assert_eq!(published.poll_timeout(), Some(Moment::from_ms(13_500)));
        assert_eq!(published.handle_timeout(Moment::from_ms(13_499)), []);
        assert_eq!(published.handle_timeout(Moment::from_ms(13_500)), announced);
        assert_eq!(published.poll_timeout(), None);
        assert_eq!(published.handle_timeout(Moment::from_ms(99_000)), []);
    }

    #[test]
    fn without_home_assistant_its_topics_go_and_ours_stay() {
        let mut published = Published::default();
        published.update(desired(&small_home()));
        let publishes = published.update(Desired::new(&small_home(), None));
        assert_eq!(publishes.len(), 6);
        assert!(publishes.iter().all(|publish| {
            publish.payload.is_empty() && publish.topic.starts_with("homeassistant/device/")
        }));
    }

    #[test]
    fn another_prefix_moves_every_device() {
        let mut published = Published::default();
        published.update(desired(&small_home()));
        let publishes = published.update(Desired::new(&small_home(), Some("ha")));
        let (gone, new) = publishes.split_at(6);
        assert!(gone.iter().all(|publish| publish.payload.is_empty()));
        assert!(new.iter().all(|publish| publish.topic.starts_with("ha/device/")));
    }
}
