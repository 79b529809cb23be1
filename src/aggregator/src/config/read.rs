//! Turns the text of `whichroom.toml` into a [`Config`], noting everything that is wrong on the way.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::Path;

use toml::de::DeTable;
use whichroom_mqtt::Secret;
use whichroom_presence::setup::{
    AccessPointSetup, Counts, Detail, DeviceSetup, PersonSetup, RoomSetup, Setup, SsidKind, SsidSetup, Timing,
};
use whichroom_wire::{Id, Mac};

use crate::access::secret::Hash;
use crate::access::{Scope, Token};
use crate::history::Keep;
use crate::names;
use crate::run::MQTT_PORT;
use crate::web::packages::{self, Packages};

use super::tls;
use super::walk::{At, Section, Walk, nearest};
use super::{
    BrokerChoice, Config, EmbeddedBroker, EmbeddedUser, ExternalBroker, FEED_LISTEN, Feed, HomeAssistant,
    Remark, SignIn, Web, default_site,
};

/// Environment variable with the password for `[mqtt] url`.
const PASSWORD_VARIABLE: &str = "WHICHROOM_MQTT_PASSWORD";

/// The same for `[home_assistant] mqtt`.
const HOME_ASSISTANT_PASSWORD_VARIABLE: &str = "WHICHROOM_HOME_ASSISTANT_MQTT_PASSWORD";

/// Keys that say who comes to a broker.
const LOGIN_KEYS: [&str; 3] = ["username", "password", "password_file"];

/// Storeys a house may have, 0 the ground floor.
const FLOORS: Range<i64> = -9..100;

/// Home Assistant's longest state.
const ROOM_NAME_MAX: usize = 255;

/// Reads a configuration. `directory` is where files it names are looked for. No configuration comes back if there
/// is a mistake; the remarks are in order of place.
pub fn parse(text: &str, directory: &Path) -> (Option<Config>, Vec<Remark>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut walk = Walk::new(text);
    for error in &errors {
        walk.mistake(&error.span().unwrap_or(0..0), error.message());
    }
    // What a broken line left behind would only bring mistakes that are none.
    if !errors.is_empty() {
        return (None, walk.into_remarks());
    }
    let root = Section::root(&document);
    let mut reader = Reader { walk, directory, ids: BTreeMap::new(), macs: BTreeMap::new() };
    let config = reader.config(&root);
    let walk = reader.walk;
    let usable = walk.mistakes() == 0;
    (usable.then_some(config), walk.into_remarks())
}

/// The file while it is read.
pub(super) struct Reader<'t> {
    pub(super) walk: Walk<'t>,
    pub(super) directory: &'t Path,
    /// Ids given so far, by kind, with where.
    ids: BTreeMap<(&'static str, Id), Range<usize>>,
    /// MACs given so far, with whose and where.
    macs: BTreeMap<Mac, (String, Range<usize>)>,
}

/// Where one may ask for a room: the room's id and where it was named.
type RoomWish = Option<At<String>>;

impl Reader<'_> {
    fn config(&mut self, root: &Section<'_>) -> Config {
        let sections = [
            "site",
            "mqtt",
            "ap",
            "room",
            "person",
            "device",
            "ssid",
            "home_assistant",
            "web",
            "feed",
            "history",
            "timing",
        ];
        self.walk.only(root, &sections);
        let rooms = self.rooms(root);
        let mut setup = Setup {
            access_points: Vec::new(),
            rooms,
            people: self.people(root),
            devices: self.loose_devices(root),
            ssids: self.ssids(root),
            timing: self.timing(root),
        };
        self.access_points(root, &mut setup);
        let broker = self.broker(root, &setup);
        let (site, names) = self.site(root);
        let home_assistant = self.home_assistant(root, &broker);
        Config {
            site,
            names,
            feed: self.feed(root, &broker),
            broker,
            setup,
            home_assistant,
            web: self.web(root),
            history: self.history(root),
        }
    }

    fn site(&mut self, root: &Section<'_>) -> (Id, names::Options) {
        let usual = names::Options::default();
        let Some(section) = self.walk.table(root, "site") else { return (default_site(), usual) };
        self.walk.only(&section, &["id", "resolve_names", "name_server"]);
        let id = self.walk.parsed(&section, "id", id_of).map_or_else(default_site, |id| id.value);
        let resolve = self.walk.flag(&section, "resolve_names").unwrap_or(usual.resolve);
        let server = self.walk.parsed(&section, "name_server", name_server);
        if let Some(server) = server.as_ref().filter(|_| !resolve) {
            self.walk.suspicious(&server.span, "nobody is asked while site.resolve_names is false");
        }
        (id, names::Options { resolve, server: server.map(|server| server.value) })
    }

    fn broker(&mut self, root: &Section<'_>, setup: &Setup) -> BrokerChoice {
        let embedded = BrokerChoice::Embedded(EmbeddedBroker { listen: None, users: Vec::new() });
        let Some(section) = self.walk.table(root, "mqtt") else { return embedded };
        self.walk.only(&section, &[&["url"], &LOGIN_KEYS[..], &["listen", "user"], &tls::KEYS].concat());
        if !section.has("url") {
            return self.embedded(&section, setup);
        }
        for key in ["listen", "user"] {
            if section.has(key) {
                let text = format!(
                    "mqtt.{key} opens the embedded broker, and mqtt.url names another one: keep one of them"
                );
                self.walk.mistake(&section.span, text);
            }
        }
        self.external(&section, "url", PASSWORD_VARIABLE).map_or(embedded, BrokerChoice::External)
    }

    /// A broker that runs anyway, whose address stands at `key`.
    fn external(&mut self, section: &Section<'_>, key: &str, variable: &str) -> Option<ExternalBroker> {
        let url = self.walk.parsed(section, key, broker_url)?;
        let username = self.walk.text(section, "username").map(|text| text.value);
        let password = self.password(section).or_else(|| std::env::var(variable).ok().map(Secret::new));
        let tls = if url.value.tls {
            self.tls(section, &url.span)
        } else {
            self.no_tls(section);
            None
        };
        let BrokerUrl { host, port, .. } = url.value;
        Some(ExternalBroker { host, port, username, password, tls })
    }

    fn password(&mut self, section: &Section<'_>) -> Option<Secret> {
        let inline = self.walk.text(section, "password");
        let Some(file) = self.walk.text(section, "password_file") else {
            return inline.map(|text| Secret::new(text.value));
        };
        if inline.is_some() {
            self.walk.mistake(&file.span, "password and password_file are both given: keep one of them");
            return None;
        }
        let path = self.directory.join(&file.value);
        match std::fs::read_to_string(&path) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => {
                self.walk.mistake(&file.span, format!("{} cannot be read: {error}", path.display()));
                None
            }
        }
    }

    fn embedded(&mut self, section: &Section<'_>, setup: &Setup) -> BrokerChoice {
        let listen = self.walk.parsed(section, "listen", socket_address);
        for key in LOGIN_KEYS.into_iter().chain(tls::KEYS) {
            if section.has(key) {
                self.walk.mistake(&section.span, format!("mqtt.{key} belongs to mqtt.url, which is missing"));
            }
        }
        let mut users = Vec::new();
        for user in self.walk.tables(section, "user", |_, _| false) {
            self.walk.only(&user, &["name", "password", "password_file", "ap"]);
            let name = self.required(&user, "name");
            let ap = self.walk.parsed(&user, "ap", id_of);
            if let Some(ap) = &ap {
                let known = || setup.access_points.iter().map(|known| known.id.as_str());
                if !setup.access_points.is_empty() && !known().any(|id| id == ap.value.as_str()) {
                    let hint = nearest(ap.value.as_str(), known())
                        .map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
                    self.walk.suspicious(&ap.span, format!("no [[ap]] has the id \"{}\"{hint}", ap.value));
                }
            }
            let password = self.password(&user);
            if password.is_none() {
                self.walk.mistake(&user.span, format!("{} has no password", user.path));
            }
            if let (Some(name), Some(password)) = (name, password) {
                users.push(EmbeddedUser { name: name.value, password, ap: ap.map(|ap| ap.value) });
            }
        }
        let open = listen.as_ref().filter(|listen| !listen.value.ip().is_loopback());
        if let Some(listen) = open.filter(|_| users.is_empty()) {
            let text = "on the network the embedded broker needs users: add [[mqtt.user]] with name and password, or run whichroom init";
            self.walk.mistake(&listen.span, text);
        }
        BrokerChoice::Embedded(EmbeddedBroker { listen: listen.map(|listen| listen.value), users })
    }

    fn rooms(&mut self, root: &Section<'_>) -> Vec<RoomSetup> {
        let mut rooms = Vec::new();
        let mut wishes: Vec<(usize, Vec<At<String>>)> = Vec::new();
        for section in self.walk.tables(root, "room", |_, _| false) {
            self.walk.only(&section, &["id", "name", "adjoins", "floor", "outdoor"]);
            let Some((id, name)) = self.id_and_name(&section, "room") else { continue };
            if let Some(why) = reserved_room(&name) {
                self.walk.mistake(&section.span, why);
            }
            wishes.push((rooms.len(), self.walk.texts(&section, "adjoins")));
            let outdoor = self.walk.flag(&section, "outdoor").unwrap_or(false);
            let floor = self.floor(&section);
            rooms.push(RoomSetup { id, name, adjoins: Vec::new(), floor, outdoor });
        }
        for (index, names) in wishes {
            let adjoins: Vec<Id> = names.iter().filter_map(|name| self.known_room(name, &rooms)).collect();
            rooms[index].adjoins = adjoins;
        }
        rooms
    }

    /// Which storey something is on.
    fn floor(&mut self, section: &Section<'_>) -> Option<i8> {
        self.walk.integer(section, "floor", FLOORS).and_then(|floor| i8::try_from(floor).ok())
    }

    /// A room by id or name, among those the file lists.
    fn known_room(&mut self, wish: &At<String>, rooms: &[RoomSetup]) -> Option<Id> {
        let found = rooms.iter().find(|room| room.id.as_str() == wish.value || room.name == wish.value);
        if found.is_none() {
            let names = rooms.iter().flat_map(|room| [room.name.as_str(), room.id.as_str()]);
            let hint = match nearest(&wish.value, names) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "add it as a [[room]]".to_owned(),
            };
            self.walk.mistake(&wish.span, format!("there is no room {:?}; {hint}", wish.value));
        }
        found.map(|room| room.id.clone())
    }

    fn access_points(&mut self, root: &Section<'_>, setup: &mut Setup) {
        let rooms_listed = root.has("room");
        let mut any = None;
        for section in self.walk.tables(root, "ap", |_, _| false) {
            self.walk.only(&section, &["id", "name", "room", "floor", "exit"]);
            any.get_or_insert(section.span.clone());
            let wish = self.walk.text(&section, "room");
            let Some((id, name)) = self.id_and_name(&section, "ap") else { continue };
            let room = self.room_of(wish, rooms_listed, setup);
            let exit = self.walk.flag(&section, "exit").unwrap_or(false);
            let floor = self.floor(&section);
            setup.access_points.push(AccessPointSetup { id, name, room, floor, exit });
        }
        if let Some(span) = any.filter(|_| !setup.access_points.iter().any(|ap| ap.exit)) {
            let text = "no access point is an exit: people who leave are only away after hours; \
                        give the one by the door exit = true";
            self.walk.suspicious(&span, text);
        }
    }

    /// Where the file lists no rooms, naming one is enough to have it.
    fn room_of(&mut self, wish: RoomWish, rooms_listed: bool, setup: &mut Setup) -> Option<Id> {
        let wish = wish?;
        if rooms_listed {
            return self.known_room(&wish, &setup.rooms);
        }
        if let Some(why) = reserved_room(&wish.value) {
            self.walk.mistake(&wish.span, why);
            return None;
        }
        let Some(id) = Id::from_name(&wish.value) else {
            self.walk.mistake(
                &wish.span,
                format!("{:?} gives no id: list it as a [[room]] with an id", wish.value),
            );
            return None;
        };
        if !setup.rooms.iter().any(|room| room.id == id) {
            setup.rooms.push(RoomSetup {
                id: id.clone(),
                name: wish.value,
                adjoins: Vec::new(),
                floor: None,
                outdoor: false,
            });
        }
        Some(id)
    }

    fn people(&mut self, root: &Section<'_>) -> Vec<PersonSetup> {
        let mut people = Vec::new();
        for section in self.walk.tables(root, "person", |_, _| false) {
            self.walk.only(&section, &["id", "name", "detail", "devices"]);
            let Some((id, name)) = self.id_and_name(&section, "person") else { continue };
            let detail = self.walk.parsed(&section, "detail", |text| {
                choice(text, &[("rooms", Detail::Rooms), ("home-only", Detail::HomeOnly)])
            });
            let devices = self.devices_of(&section, &id, &name);
            if devices.is_empty() {
                let text = format!(
                    "{name} has no devices and will never be decided: add devices = [{{ macs = [\"...\"] }}]"
                );
                self.walk.suspicious(&section.span, text);
            }
            let detail = detail.map_or(Detail::default(), |detail| detail.value);
            people.push(PersonSetup { id, name, detail, devices });
        }
        people
    }

    fn devices_of(&mut self, person: &Section<'_>, person_id: &Id, person_name: &str) -> Vec<DeviceSetup> {
        let mut plain = Vec::new();
        let sections = self.walk.tables(person, "devices", |_, element| match element.get_ref().as_str() {
            Some(mac) => {
                plain.push(At { value: mac.to_owned(), span: element.span() });
                true
            }
            None => false,
        });
        let mut devices = Vec::new();
        for mac in plain {
            let Some(address) = self.mac(&mac, person_name) else { continue };
            let id = self.free_id("device", person_id, &mac.span);
            let name = format!("{person_name}'s phone");
            devices.push(DeviceSetup { id, name, macs: vec![address], counts: Counts::Always });
        }
        for section in sections {
            devices.extend(self.device(&section, Some((person_id, person_name))));
        }
        devices
    }

    fn loose_devices(&mut self, root: &Section<'_>) -> Vec<DeviceSetup> {
        let sections = self.walk.tables(root, "device", |_, _| false);
        sections.iter().filter_map(|section| self.device(section, None)).collect()
    }

    fn device(&mut self, section: &Section<'_>, person: Option<(&Id, &str)>) -> Option<DeviceSetup> {
        self.walk.only(section, &["id", "name", "macs", "counts"]);
        let (id, name) = match person {
            Some((owner_id, owner)) if !section.has("id") => {
                let name = self.walk.text(section, "name").map(|name| name.value);
                let id = self.free_id("device", &device_id(owner_id, name.as_deref()), &section.span);
                (id, name.unwrap_or_else(|| format!("{owner}'s phone")))
            }
            Some(_) | None => self.id_and_name(section, "device")?,
        };
        let counts = self.walk.parsed(section, "counts", |text| {
            choice(
                text,
                &[("always", Counts::Always), ("room-only", Counts::RoomOnly), ("never", Counts::Never)],
            )
        });
        let texts = self.walk.texts(section, "macs");
        if texts.is_empty() {
            self.walk
                .mistake(&section.span, format!("{name} has no macs: add macs = [\"aa:bb:cc:dd:ee:ff\"]"));
        }
        let macs = texts.iter().filter_map(|text| self.mac(text, &name)).collect();
        let counts = counts.map_or(Counts::default(), |counts| counts.value);
        Some(DeviceSetup { id, name, macs, counts })
    }

    fn mac(&mut self, text: &At<String>, owner: &str) -> Option<Mac> {
        let Ok(mac) = text.value.parse::<Mac>() else {
            self.walk.mistake(
                &text.span,
                format!("{:?} is not a MAC address of the form aa:bb:cc:dd:ee:ff", text.value),
            );
            return None;
        };
        if !mac.is_station() {
            self.walk.mistake(&text.span, format!("{mac} is a group address or all zero, not a phone's"));
            return None;
        }
        if let Some((other, span)) = self.macs.get(&mac) {
            let line = self.walk.line(span);
            self.walk.mistake(
                &text.span,
                format!("{mac} is given twice: to {other} in line {line}, and to {owner}"),
            );
            return None;
        }
        self.macs.insert(mac, (owner.to_owned(), text.span.clone()));
        Some(mac)
    }

    fn ssids(&mut self, root: &Section<'_>) -> Vec<SsidSetup> {
        let mut ssids: Vec<SsidSetup> = Vec::new();
        for section in self.walk.tables(root, "ssid", |_, _| false) {
            self.walk.only(&section, &["name", "kind"]);
            let Some(name) = self.required(&section, "name") else { continue };
            let kind = self.walk.parsed(&section, "kind", |text| {
                choice(
                    text,
                    &[("family", SsidKind::Family), ("guest", SsidKind::Guest), ("iot", SsidKind::Iot)],
                )
            });
            if ssids.iter().any(|ssid| ssid.name == name.value) {
                self.walk.mistake(&name.span, format!("the network {:?} is listed twice", name.value));
            }
            ssids.push(SsidSetup {
                name: name.value,
                kind: kind.map_or(SsidKind::default(), |kind| kind.value),
            });
        }
        ssids
    }

    fn home_assistant(&mut self, root: &Section<'_>, broker: &BrokerChoice) -> HomeAssistant {
        let default = HomeAssistant::default();
        let Some(section) = self.walk.table(root, "home_assistant") else { return default };
        self.walk.only(
            &section,
            &[&["enabled", "prefix", "page_url", "mqtt"], &LOGIN_KEYS[..], &tls::KEYS].concat(),
        );
        let prefix = self.walk.parsed(&section, "prefix", |text| {
            let clean = !text.contains(['+', '#']) && !text.starts_with('/') && !text.ends_with('/');
            clean
                .then(|| text.to_owned())
                .ok_or_else(|| "a topic without wildcards and slashes around it".to_owned())
        });
        let page_url = self.walk.parsed(&section, "page_url", |text| {
            let web = text.starts_with("http://") || text.starts_with("https://");
            web.then(|| text.to_owned())
                .ok_or_else(|| "Home Assistant takes only http:// and https:// here".to_owned())
        });
        HomeAssistant {
            enabled: self.walk.flag(&section, "enabled").unwrap_or(default.enabled),
            prefix: prefix.map_or(default.prefix, |prefix| prefix.value),
            page_url: page_url.map(|url| url.value),
            mqtt: self.own_broker(&section, broker),
        }
    }

    /// Home Assistant's own broker, which is not the access points'.
    fn own_broker(&mut self, section: &Section<'_>, broker: &BrokerChoice) -> Option<ExternalBroker> {
        let Some(span) = section.span_of("mqtt") else {
            for key in LOGIN_KEYS.into_iter().chain(tls::KEYS).filter(|key| section.has(key)) {
                let text = format!("home_assistant.{key} belongs to home_assistant.mqtt, which is missing");
                self.walk.mistake(&section.span_of(key).unwrap_or(section.span.clone()), text);
            }
            return None;
        };
        let own = self.external(section, "mqtt", HOME_ASSISTANT_PASSWORD_VARIABLE)?;
        if is_at(broker, &own) {
            let text = "this is the access points' broker already: leave home_assistant.mqtt out";
            self.walk.mistake(&span, text);
        }
        Some(own)
    }

    fn web(&mut self, root: &Section<'_>) -> Web {
        let Some(section) = self.walk.table(root, "web") else { return Web::default() };
        self.walk.only(&section, &["listen", "hosts", "sign_in", "token"]);
        let listen = self.walk.parsed(&section, "listen", socket_address);
        let sign_in = self.walk.parsed(&section, "sign_in", |text| {
            choice(text, &[("network", SignIn::Network), ("always", SignIn::Always)])
        });
        let hosts = self.hosts(&section);
        Web {
            listen: listen.map(|listen| listen.value),
            hosts,
            sign_in: sign_in.map_or(SignIn::default(), |sign_in| sign_in.value),
            tokens: self.tokens(&section),
        }
    }

    /// Names as an address bar has them.
    fn hosts(&mut self, section: &Section<'_>) -> Vec<String> {
        let mut hosts = Vec::new();
        for host in self.walk.texts(section, "hosts") {
            if host.value.contains(['/', '*', '@', ' ']) {
                let text = "a host is a name, with its port if that is another: \"server.local\", \"home.example:8443\"";
                self.walk.mistake(&host.span, text);
            }
            hosts.push(host.value);
        }
        hosts
    }

    fn tokens(&mut self, web: &Section<'_>) -> Vec<Token> {
        let mut tokens: Vec<Token> = Vec::new();
        for section in self.walk.tables(web, "token", |_, _| false) {
            self.walk.only(&section, &["name", "hash", "scope"]);
            if !section.has("name") || !section.has("hash") {
                let text =
                    format!("{} needs a name and a hash: whichroom token NAME makes both", section.path);
                self.walk.mistake(&section.span, text);
            }
            let name = self.walk.parsed(&section, "name", id_of);
            let hash = self.hash(&section);
            let scope = self.walk.parsed(&section, "scope", |text| {
                choice(text, &[("read", Scope::Read), ("all", Scope::All)])
            });
            let (Some(name), Some(hash)) = (name, hash) else { continue };
            if tokens.iter().any(|token| token.name == name.value) {
                self.walk.mistake(&name.span, format!("there are two tokens called \"{}\"", name.value));
            }
            let scope = scope.map_or(Scope::Read, |scope| scope.value);
            tokens.push(Token { name: name.value, hash, scope });
        }
        tokens
    }

    /// A token's hash. What is none may be the token itself, and is not repeated.
    fn hash(&mut self, section: &Section<'_>) -> Option<Hash> {
        let text = self.walk.text(section, "hash")?;
        match Hash::read(&text.value) {
            Ok(hash) => Some(hash),
            Err(why) => {
                self.walk.mistake(&text.span, format!("{}.hash {why}", section.path));
                None
            }
        }
    }

    fn feed(&mut self, root: &Section<'_>, broker: &BrokerChoice) -> Option<Feed> {
        let is_out_of_reach = match broker {
            BrokerChoice::Embedded(broker) => broker.listen.is_none_or(|listen| listen.ip().is_loopback()),
            BrokerChoice::External(_) => false,
        };
        let Some(section) = self.walk.table(root, "feed") else {
            // Nothing is opened to the network for access points that could not connect.
            let packages = Packages::inside().filter(|_| !is_out_of_reach)?;
            return Some(Feed { packages, listen: FEED_LISTEN, asked: false });
        };
        self.walk.only(&section, &["enabled", "folder", "listen"]);
        let enabled = self.walk.flag(&section, "enabled").unwrap_or(true);
        let listen = self.walk.parsed(&section, "listen", socket_address);
        let listen = listen.map_or(FEED_LISTEN, |listen| listen.value);
        let packages = self.packages(&section)?;
        if is_out_of_reach && enabled && !listen.ip().is_loopback() {
            let text = "access points can install their agent, and it cannot connect: the embedded broker is on \
                        loopback; open it with mqtt.listen and [[mqtt.user]], or run whichroom init";
            self.walk.suspicious(&section.span, text);
        }
        enabled.then_some(Feed { packages, listen, asked: true })
    }

    /// A folder that is named goes before what is inside this program.
    fn packages(&mut self, section: &Section<'_>) -> Option<Packages> {
        if let Some(inside) = Packages::inside().filter(|_| !section.has("folder")) {
            return Some(inside);
        }
        let folder = self.required(section, "folder")?;
        let path = self.directory.join(&folder.value);
        if let Err(why) = packages::check(&path) {
            self.walk.mistake(&folder.span, why.to_string());
        }
        Some(Packages::Folder(path))
    }

    fn history(&mut self, root: &Section<'_>) -> Option<Keep> {
        const DAYS_MAX: i64 = 3_660;
        const MB_MAX: i64 = 1 << 20;
        let usual = Keep::default();
        let Some(section) = self.walk.table(root, "history") else { return Some(usual) };
        self.walk.only(&section, &["enabled", "days", "signal_days", "max_mb"]);
        let mut days = |key, usual| {
            let days = self.walk.integer(&section, key, 1..DAYS_MAX + 1);
            days.and_then(|days| u32::try_from(days).ok()).unwrap_or(usual)
        };
        let (days, signal_days) = (days("days", usual.days), days("signal_days", usual.signal_days));
        let max_mb = self.walk.integer(&section, "max_mb", 10..MB_MAX + 1);
        let max_bytes = max_mb.map_or(usual.max_bytes, |mb| mb.unsigned_abs() << 20);
        let is_kept = self.walk.flag(&section, "enabled").unwrap_or(true);
        is_kept.then_some(Keep { days, signal_days, max_bytes })
    }

    fn timing(&mut self, root: &Section<'_>) -> Timing {
        let mut timing = Timing::default();
        let Some(section) = self.walk.table(root, "timing") else { return timing };
        const WEEK_S: i64 = 7 * 24 * 3600;
        let keys: [(&str, &mut u64); 12] = [
            ("left_s", &mut timing.left_ms),
            ("exit_s", &mut timing.exit_ms),
            ("interior_s", &mut timing.interior_ms),
            ("debounce_s", &mut timing.debounce_ms),
            ("reporting_s", &mut timing.reporting_ms),
            ("blind_said_s", &mut timing.blind_said_ms),
            ("blind_held_s", &mut timing.blind_held_ms),
            ("blind_given_up_s", &mut timing.blind_given_up_ms),
            ("blind_forgotten_s", &mut timing.blind_forgotten_ms),
            ("left_behind_s", &mut timing.left_behind_ms),
            ("phantom_s", &mut timing.phantom_ms),
            ("empty_hold_s", &mut timing.empty_hold_ms),
        ];
        self.walk.only(&section, &keys.each_ref().map(|(key, _)| *key));
        for (key, ms) in keys {
            if let Some(seconds) = self.walk.integer(&section, key, 1..WEEK_S + 1) {
                *ms = seconds.unsigned_abs() * 1000;
            }
        }
        timing
    }

    fn required(&mut self, section: &Section<'_>, key: &str) -> Option<At<String>> {
        if !section.has(key) {
            self.walk.mistake(&section.span, format!("{} needs a {key}", section.path));
        }
        self.walk.text(section, key)
    }

    /// A thing needs an id or a name; the one that is missing is made from the other.
    fn id_and_name(&mut self, section: &Section<'_>, kind: &'static str) -> Option<(Id, String)> {
        let name = self.walk.text(section, "name");
        if !section.has("id") && !section.has("name") {
            self.walk.mistake(&section.span, format!("{} needs an id or a name", section.path));
            return None;
        }
        let given = self.walk.parsed(section, "id", id_of);
        let id = match (given, &name) {
            (Some(id), _) => id,
            (None, Some(name)) if !section.has("id") => {
                let Some(id) = Id::from_name(&name.value) else {
                    let text =
                        format!("{:?} gives no id: add id = \"...\" with a-z, 0-9, '_' and '-'", name.value);
                    self.walk.mistake(&name.span, text);
                    return None;
                };
                At { value: id, span: name.span.clone() }
            }
            (None, _) => return None,
        };
        if let Some(first) = self.ids.get(&(kind, id.value.clone())) {
            let line = self.walk.line(first);
            self.walk.mistake(
                &id.span,
                format!("there are two {kind}s with the id \"{}\": the other is in line {line}", id.value),
            );
            return None;
        }
        self.ids.insert((kind, id.value.clone()), id.span.clone());
        let name = name.map_or_else(|| spoken(&id.value), |name| name.value);
        Some((id.value, name))
    }

    /// `wish`, or `wish-2` and so on where it is taken.
    fn free_id(&mut self, kind: &'static str, wish: &Id, span: &Range<usize>) -> Id {
        let mut id = wish.clone();
        let stem: String = wish.as_str().chars().take(Id::LENGTH_MAX - 4).collect();
        for number in 2..1000 {
            if !self.ids.contains_key(&(kind, id.clone())) {
                break;
            }
            if let Ok(next) = format!("{stem}-{number}").parse() {
                id = next;
            }
        }
        self.ids.insert((kind, id.clone()), span.clone());
        id
    }
}

/// A person's device by name: two people may each have a "phone".
fn device_id(owner: &Id, name: Option<&str>) -> Id {
    let Some(named) = name.and_then(Id::from_name) else { return owner.clone() };
    if named.as_str().starts_with(owner.as_str()) {
        return named;
    }
    Id::from_name(&format!("{owner}-{named}")).unwrap_or(named)
}

/// What a room must not be called: Home Assistant or a person's topic has another meaning for it.
fn reserved_room(name: &str) -> Option<String> {
    const WORDS: [&str; 6] = ["Away", "Home", "Unclear", "None", "unknown", "unavailable"];
    if WORDS.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        return Some(format!(
            "a room cannot be called {name:?}: that word means something else in Home Assistant"
        ));
    }
    if name.trim() != name {
        return Some(format!("{name:?} begins or ends with a blank"));
    }
    (name.chars().count() > ROOM_NAME_MAX)
        .then(|| format!("a room's name has at most {ROOM_NAME_MAX} characters"))
}

/// "living-room" as a name: "Living room".
fn spoken(id: &Id) -> String {
    let text = id.as_str().replace(['-', '_'], " ");
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn id_of(text: &str) -> Result<Id, String> {
    text.parse().map_err(|error| match Id::from_name(text) {
        Some(id) => format!("{error}; for example \"{id}\""),
        None => format!("{error}"),
    })
}

fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let names = || choices.iter().map(|(name, _)| *name);
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    Err(match nearest(text, names()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("one of {}", names().collect::<Vec<_>>().join(", ")),
    })
}

/// Whether the access points' broker is at this address.
fn is_at(broker: &BrokerChoice, other: &ExternalBroker) -> bool {
    match broker {
        BrokerChoice::External(broker) => (&broker.host, broker.port) == (&other.host, other.port),
        BrokerChoice::Embedded(broker) => {
            let port = broker.listen.map_or(MQTT_PORT, |listen| listen.port());
            let is_here = other.host.parse().is_ok_and(|address: IpAddr| {
                address.is_loopback() || broker.listen.is_some_and(|listen| listen.ip() == address)
            });
            port == other.port && (is_here || other.host == "localhost")
        }
    }
}

/// The address of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether it is spoken to in TLS.
    pub tls: bool,
}

/// Reads `mqtt://host[:port]` and `mqtts://host[:port]`.
pub fn broker_url(text: &str) -> Result<BrokerUrl, String> {
    const FORM: &str = "write mqtt://host:1883, or mqtts://host:8883 for TLS";
    let Some((scheme, rest)) = text.split_once("://") else { return Err(FORM.to_owned()) };
    let (tls, default_port) = match scheme {
        "mqtt" => (false, 1883),
        "mqtts" => (true, 8883),
        _ => return Err(format!("{scheme}:// is no broker's scheme; {FORM}")),
    };
    let rest = rest.trim_end_matches('/');
    if rest.contains('@') {
        return Err("user and password do not belong in the address: use username and password".to_owned());
    }
    let (host, port) = split_port(rest, default_port)?;
    let plain = !host.is_empty() && !host.contains(['/', '?', '#', ' ']);
    if plain { Ok(BrokerUrl { host, port, tls }) } else { Err(FORM.to_owned()) }
}

fn split_port(text: &str, default_port: u16) -> Result<(String, u16), String> {
    if let Some(address) = text.strip_prefix('[') {
        let (host, rest) = address.split_once(']').ok_or("an IPv6 address ends with ]")?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("[{host}] is no IPv6 address"))?;
        return Ok((host.to_owned(), rest.strip_prefix(':').map_or(Ok(default_port), port_of)?));
    }
    match text.split_once(':') {
        Some((host, port)) => Ok((host.to_owned(), port_of(port)?)),
        None => Ok((text.to_owned(), default_port)),
    }
}

fn port_of(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("{text:?} is no port: 1 to 65535"))
}

/// The address of a name server; its port is 53 unless it is given.
fn name_server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, names::NAME_SERVER_PORT));
    bare.or_else(|_| text.parse()).map_err(|_| "write its address, for example \"192.168.1.1\"".to_owned())
}

/// An address to listen on; "localhost" and a bare port are understood.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some(port) = text.strip_prefix("localhost:") {
        let port = port.parse().map_err(|_| format!("{port:?} is no port: 0 to 65535"))?;
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Err(format!("add a port, for example \"{}\"", SocketAddr::new(ip, 1883)));
    }
    Err("write an address and a port, for example \"127.0.0.1:8737\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remarks(text: &str) -> Vec<String> {
        let (_, remarks) = parse(text, Path::new("/nonexistent"));
        remarks.iter().map(|remark| remark.display(Path::new("f"))).collect()
    }

    fn config(text: &str) -> Config {
        let (config, remarks) = parse(text, Path::new("/nonexistent"));
        config.unwrap_or_else(|| panic!("{remarks:?}"))
    }

    const HOME: &str = r#"
[site]
id = "home"
[mqtt]
url = "mqtt://broker.lan"
username = "whichroom"
password = "secret"
[[room]]
name = "Living room"
adjoins = ["Kitchen"]
floor = -1
[[room]]
id = "kitchen"
name = "Kitchen"
[[ap]]
id = "downstairs"
room = "Living room"
[[ap]]
id = "garden"
floor = 0
exit = true
[[person]]
name = "Ada"
devices = ["AA:bb:cc:dd:ee:01", { name = "Ada's watch", macs = ["aa:bb:cc:dd:ee:02"], counts = "room-only" }]
[[person]]
name = "Cleaner"
detail = "home-only"
devices = [{ macs = ["aa:bb:cc:dd:ee:03", "aa:bb:cc:dd:ee:04"] }]
[[ssid]]
name = "Guests"
kind = "guest"
"#;

    #[test]
    fn a_whole_home_is_read() {
        let config = config(HOME);
        assert_eq!(config.setup.rooms[0].adjoins, ["kitchen".parse().unwrap()]);
        assert_eq!(config.setup.access_points[0].room, Some("living-room".parse().unwrap()));
        assert_eq!((config.setup.rooms[0].floor, config.setup.rooms[1].floor), (Some(-1), None));
        assert_eq!(config.setup.access_points[1].floor, Some(0));
        assert!(config.setup.access_points[1].exit);
        assert_eq!(config.setup.access_points[1].name, "Garden");
        assert_eq!(config.setup.people[0].devices[0].id, "ada".parse().unwrap());
        assert_eq!(config.setup.people[0].devices[1].counts, Counts::RoomOnly);
        assert_eq!(config.setup.people[1].detail, Detail::HomeOnly);
        assert_eq!(config.setup.people[1].devices[0].macs.len(), 2);
        let BrokerChoice::External(broker) = config.broker else { panic!("{:?}", config.broker) };
        assert_eq!((broker.host.as_str(), broker.port), ("broker.lan", 1883));
        assert!(!format!("{broker:?}").contains("secret"));
    }

    #[test]
    fn home_assistant_may_have_a_broker_of_its_own() {
        let own = |text: &str| config(&format!("[home_assistant]\n{text}")).home_assistant.mqtt;
        assert_eq!(own(""), None);
        let text = "mqtt = \"mqtt://ha.lan\"\nusername = \"whichroom\"\npassword = \"secret\"\n";
        let broker = own(text).unwrap();
        assert_eq!(
            (broker.url().as_str(), broker.username.as_deref()),
            ("mqtt://ha.lan:1883", Some("whichroom"))
        );
        assert!(!format!("{broker:?}").contains("secret"));
        assert_eq!(own(text), Some(broker), "read again it is the same");
        assert_ne!(own(text), own(&text.replace("secret", "other")));
        let print = "00ff".repeat(16);
        let tls = |print: &str| own(&format!("mqtt = \"mqtts://ha.lan\"\nfingerprint = \"{print}\"\n"));
        assert_eq!(tls(&print), tls(&print));
        assert_ne!(tls(&print), tls(&"11ff".repeat(16)));
    }

    #[test]
    fn names_of_unknown_devices_are_looked_up_unless_told_otherwise() {
        let names = |text: &str| config(text).names;
        assert_eq!(names(""), names::Options { resolve: true, server: None });
        assert!(!names("[site]\nresolve_names = false\n").resolve);
        let server = |text: &str| names(&format!("[site]\nname_server = \"{text}\"\n")).server;
        assert_eq!(server("192.168.1.1"), "192.168.1.1:53".parse().ok());
        assert_eq!(server("[fd00::1]:5353"), "[fd00::1]:5353".parse().ok());
        assert_eq!(server("fd00::1"), "[fd00::1]:53".parse().ok());
    }

    #[test]
    fn two_people_may_each_have_a_phone() {
        let text = "[[person]]\nname = \"Ada\"\ndevices = [{ name = \"phone\", macs = [\"02:00:00:00:00:01\"] }]\n\
                    [[person]]\nname = \"Bo\"\ndevices = [{ name = \"phone\", macs = [\"02:00:00:00:00:02\"] }]\n";
        let ids = config(text).setup.people.into_iter().map(|person| person.devices[0].id.to_string());
        assert_eq!(ids.collect::<Vec<_>>(), ["ada-phone", "bo-phone"]);
    }

    #[test]
    fn every_mistake_is_said_with_its_place_and_a_suggestion() {
        let text = "[mqtt]\nurll = \"x\"\n[[ap]]\nid = \"Kitchen AP\"\nexit = \"yes\"\n[[pirson]]\n";
        assert_eq!(
            remarks(text),
            [
                "f:2:1: error: unknown key \"urll\" in [mqtt]; did you mean \"url\"?",
                "f:3:1: warning: no access point is an exit: people who leave are only away after hours; give the one by the door exit = true",
                "f:4:6: error: ap[1].id = \"Kitchen AP\": an id has 1 to 32 characters out of a-z, 0-9, '_' and '-'; for example \"kitchen-ap\"",
                "f:6:3: error: unknown key \"pirson\"; did you mean \"person\"?",
            ]
        );
    }

    #[test]
    fn duplicates_are_mistakes_that_name_the_other_place() {
        let text = "[[person]]\nname = \"A\"\ndevices = [\"aa:bb:cc:dd:ee:01\"]\n[[person]]\nname = \"B\"\ndevices = [\"AA-BB-CC-DD-EE-01\"]\n[[person]]\nname = \"a\"\n";
        let remarks = remarks(text);
        assert_eq!(
            remarks[0],
            "f:4:1: warning: B has no devices and will never be decided: add devices = [{ macs = [\"...\"] }]"
        );
        assert_eq!(remarks[1], "f:6:12: error: aa:bb:cc:dd:ee:01 is given twice: to A in line 3, and to B");
        assert_eq!(
            remarks[2],
            "f:8:8: error: there are two persons with the id \"a\": the other is in line 2"
        );
    }

    #[test]
    fn impossible_values_are_mistakes() {
        for (text, part) in [
            ("[site]\nname_server = \"router.lan\"", "write its address"),
            ("[site]\nresolve_names = false\nname_server = \"10.0.0.1\"", "f:3:15: warning: nobody is asked"),
            ("[timing]\nexit_s = 0", "timing.exit_s must be from 1 to 604800"),
            ("[[room]]\nname = \"x\"\nfloor = 300", "room[1].floor must be from -9 to 99"),
            ("[timing]\nexit_s = 1.5", "must be a whole number, not float"),
            ("[feed]\nlisten = \"127.0.0.1:1\"", "folder"),
            ("[web]\nhosts = [\"http://server.lan\"]", "a host is a name"),
            ("[web]\nsign_in = \"never\"", "one of network, always"),
            ("[[web.token]]\nname = \"x\"", "whichroom token NAME makes both"),
            ("[[web.token]]\nname = \"x\"\nhash = \"x.secret\"", "web.token[1].hash is no argon2id hash"),
            ("[mqtt]\nlisten = \"0.0.0.0:1883\"", "needs users"),
            ("[mqtt]\nurl = \"http://x\"", "http:// is no broker's scheme"),
            ("[mqtt]\nurl = \"mqtt://u:p@x\"", "do not belong in the address"),
            ("[mqtt]\nurl = \"mqtt://x:99999\"", "is no port"),
            (
                "[home_assistant]\nmqtt = \"mqtt://localhost\"",
                "f:2:8: error: this is the access points' broker",
            ),
            (
                "[mqtt]\nurl = \"mqtt://b\"\n[home_assistant]\nmqtt = \"mqtt://b:1883\"",
                "leave home_assistant.mqtt out",
            ),
            ("[home_assistant]\nusername = \"x\"", "f:2:12: error: home_assistant.username belongs to"),
            ("[home_assistant]\nmqtt = \"mqtt://u:p@x\"", "do not belong in the address"),
            ("[home_assistant]\nmqtt = \"mqtts://x\"", "give home_assistant.ca, a file"),
            (
                "[home_assistant]\nmqtt = \"mqtt://x\"\nca = \"y\"",
                "home_assistant.ca is for a broker at mqtts://",
            ),
            ("[[person]]\nname = \"A\"\ndevices = [\"ff:ff:ff:ff:ff:ff\"]", "group address"),
            ("[[room]]\nname = \"Hall\"\nadjoins = [\"Hal\"]", "did you mean \"Hall\"?"),
            ("[[ssid]]\nname = \"x\"\nkind = \"gest\"", "did you mean \"guest\"?"),
            ("[[room]]\nname = \"away\"", "cannot be called \"away\""),
            ("[[ap]]\nid = \"a\"\nroom = \" x\"", "begins or ends with a blank"),
            ("person = 3", "must be an array: write [[person]]"),
            ("[mqtt\nurl = 3\n[x", "f:1:6: error"),
        ] {
            let remarks = remarks(text).join("\n");
            assert!(remarks.contains(part), "{text}\n{remarks}");
        }
    }

    #[test]
    fn a_folder_that_is_no_feed_is_a_mistake_and_a_broker_out_of_reach_is_suspicious() {
        let remarks = remarks("[feed]\nfolder = \"nowhere\"\n");
        assert!(remarks[0].starts_with("f:1:1: warning: access points can install"), "{remarks:?}");
        assert!(remarks[1].starts_with("f:2:10: error: /nonexistent/nowhere is no feed"), "{remarks:?}");
        assert!(config("[web]\n").feed.is_none(), "nothing is served unless told");
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = config("");
        assert!(matches!(config.broker, BrokerChoice::Embedded(EmbeddedBroker { listen: None, .. })));
        assert!(config.home_assistant.enabled);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = parse(&text, Path::new("/nonexistent"));
        }

        #[test]
        fn no_toml_makes_it_panic(keys in proptest::collection::vec("(site|mqtt|ap|person|room|id|name|devices|macs) = (\\[1\\]|\"x\"|3|\\{\\}|\\[\\[\\]\\])", 0..6), at in "(\\[mqtt\\]|\\[\\[ap\\]\\]|\\[\\[person\\]\\]|)") {
            let _ = parse(&format!("{at}\n{}", keys.join("\n")), Path::new("/nonexistent"));
        }
    }
}
