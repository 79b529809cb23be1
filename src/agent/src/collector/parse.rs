//! What hostapd, iwinfo and luci-rpc answer, read leniently: every field may be missing, of another width or
//! absurd, and costs nothing but itself. Fields no one asks for are not looked at.

use whichroom_ubus::blobmsg::{Elements, Value};
use whichroom_wire::{Change, Host, Mac};

/// Stations of one answer that are read.
pub(super) const STATIONS_MAX: usize = 1024;
/// Bytes of a name that are kept: SSIDs have 32, host names 255.
const NAME_MAX: usize = 255;

/// A station as `get_clients` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) mac: Mac,
    pub(crate) authorized: bool,
    pub(crate) signal_dbm: Option<i8>,
    pub(crate) rx_packets: Option<u64>,
    pub(crate) rx_bytes: Option<u64>,
    /// First octet of the RM enabled capabilities.
    pub(crate) rrm: Option<u8>,
}

/// An answer of `get_clients`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clients {
    /// Associated stations.
    pub(crate) clients: Vec<Client>,
    /// Entries and values that could not be read.
    pub(crate) flaws: u32,
}

/// A station as `iwinfo assoclist` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Associated {
    pub(crate) mac: Mac,
    pub(crate) signal_dbm: Option<i8>,
    pub(crate) inactive_ms: Option<u64>,
    pub(crate) connected_s: Option<u64>,
    pub(crate) rx_packets: Option<u64>,
    pub(crate) rx_bytes: Option<u64>,
}

/// What `get_status` says of a BSS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BssStatus {
    pub(crate) status: Option<String>,
    pub(crate) bssid: Option<Mac>,
    pub(crate) ssid: Option<String>,
    pub(crate) freq_mhz: Option<u32>,
    pub(crate) channel: Option<u32>,
    pub(crate) op_class: Option<u32>,
    pub(crate) utilization_permille: Option<u32>,
    /// A BSS transition frame was sent or received.
    pub(crate) btm_seen: bool,
    /// A neighbour report was sent.
    pub(crate) rrm_seen: bool,
}

/// What `iwinfo info` says of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) bssid: Option<Mac>,
    pub(crate) width_mhz: Option<u32>,
    pub(crate) txpower_dbm: Option<i8>,
    pub(crate) noise_dbm: Option<i8>,
}

/// A notification of hostapd that is of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Something a station did.
    Station { mac: Mac, change: Change },
    /// A station did not carry out a beacon request.
    BeaconRefused { mac: Mac },
    /// The BSS works on another channel.
    ChannelSwitch,
}

/// Notifications that [`notice`] reads. Probes are most of what comes, and mostly unwanted.
pub(crate) const NOTICES: [&str; 10] = [
    "assoc",
    "sta-authorized",
    "disassoc",
    "deauth",
    "local-deauth",
    "inactive-deauth",
    "probe",
    "key-mismatch",
    "beacon-report",
    "channel-switch",
];

/// The address in a notification, for deciding whether it is wanted.
pub(crate) fn address(data: Elements<'_>) -> Option<Mac> {
    mac(data.get("address")?)
}

fn mac(value: Value<'_>) -> Option<Mac> {
    mac_bytes(value.bytes()?)
}

pub(super) fn mac_bytes(bytes: &[u8]) -> Option<Mac> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// A signal a receiver can have measured; drivers say 0 for "unknown".
pub(super) fn dbm(value: Value<'_>) -> Option<i8> {
    i8::try_from(value.signed()?).ok().filter(|dbm| (-120..0).contains(dbm))
}

/// Some drivers' noise lost its sign on the way: 161 is -95.
fn noise(value: Value<'_>) -> Option<i8> {
    match value.signed()? {
        dbm @ (-120..0 | 136..256) => i8::try_from(if dbm > 0 { dbm - 256 } else { dbm }).ok(),
        _ => None,
    }
}

fn name(value: Value<'_>) -> Option<String> {
    let bytes = value.bytes()?;
    Some(String::from_utf8_lossy(&bytes[..bytes.len().min(NAME_MAX)]).into_owned())
}

fn unsigned32(value: Option<Value<'_>>) -> Option<u32> {
    u32::try_from(value?.unsigned()?).ok()
}

/// Reads an answer of `get_clients`; `None` if it is none, which must never look like an empty list.
pub(crate) fn clients(data: Elements<'_>) -> Option<Clients> {
    let listed = data.get("clients")?.elements()?;
    let mut flaws = data.flaws();
    let mut clients = Vec::new();
    for entry in listed {
        match (mac_bytes(entry.name), entry.value.elements()) {
            (Some(mac), Some(fields)) if mac.is_station() && clients.len() < STATIONS_MAX => {
                clients.extend(client(mac, fields));
            }
            _ => flaws = flaws.saturating_add(1),
        }
    }
    Some(Clients { clients, flaws })
}

fn client(mac: Mac, fields: Elements<'_>) -> Option<Client> {
    let mut client =
        Client { mac, authorized: false, signal_dbm: None, rx_packets: None, rx_bytes: None, rrm: None };
    let mut associated = None;
    for field in fields {
        match field.name {
            b"assoc" => associated = field.value.boolean(),
            b"authorized" => client.authorized = field.value.boolean().unwrap_or(false),
            b"signal" => client.signal_dbm = dbm(field.value),
            b"packets" => client.rx_packets = rx(field.value),
            b"bytes" => client.rx_bytes = rx(field.value),
            b"rrm" => client.rrm = first_octet(field.value),
            _ => {}
        }
    }
    // hostapd lists stations that only authenticated, and those that just disassociated.
    (client.authorized || associated.unwrap_or(true)).then_some(client)
}

/// The access point's reception.
fn rx(value: Value<'_>) -> Option<u64> {
    value.elements()?.get("rx")?.unsigned()
}

fn first_octet(value: Value<'_>) -> Option<u8> {
    u8::try_from(value.elements()?.into_iter().next()?.value.unsigned()?).ok()
}

/// Reads an answer of `iwinfo assoclist`.
pub(crate) fn assoclist(data: Elements<'_>) -> Option<Vec<Associated>> {
    let results = data.get("results")?.elements()?;
    Some(
        results
            .into_iter()
            .filter_map(|entry| associated(entry.value.elements()?))
            .take(STATIONS_MAX)
            .collect(),
    )
}

fn associated(fields: Elements<'_>) -> Option<Associated> {
    let rx = fields.get("rx").and_then(Value::elements);
    let counter = |name: &str| rx.and_then(|rx| rx.get(name)).and_then(Value::unsigned);
    let field = |name: &str| fields.get(name);
    Some(Associated {
        mac: mac(field("mac")?)?,
        signal_dbm: field("signal").and_then(dbm),
        inactive_ms: field("inactive").and_then(Value::unsigned),
        connected_s: field("connected_time").and_then(Value::unsigned),
        rx_packets: counter("packets"),
        rx_bytes: counter("bytes"),
    })
}

/// Reads an answer of `get_status`.
pub(crate) fn status(data: Elements<'_>) -> BssStatus {
    let counter = |table: &str, name: &str| {
        data.get(table).and_then(Value::elements).and_then(|table| table.get(name)).and_then(Value::unsigned)
    };
    let btm = ["bss_transition_query_rx", "bss_transition_request_tx", "bss_transition_response_rx"];
    BssStatus {
        status: data.get("status").and_then(name),
        bssid: data.get("bssid").and_then(mac),
        ssid: data.get("ssid").and_then(name),
        freq_mhz: unsigned32(data.get("freq")),
        channel: unsigned32(data.get("channel")),
        op_class: unsigned32(data.get("op_class")),
        // hostapd counts in 255ths.
        utilization_permille: counter("airtime", "utilization")
            .and_then(|share| u32::try_from(share.min(255) * 1000 / 255).ok()),
        btm_seen: btm.iter().any(|name| counter("wnm", name).is_some_and(|count| count > 0)),
        rrm_seen: counter("rrm", "neighbor_report_tx").is_some_and(|count| count > 0),
    }
}

/// Reads an answer of `iwinfo info`.
pub(crate) fn info(data: Elements<'_>) -> Info {
    let mode = data.get("htmode").and_then(name);
    Info {
        bssid: data.get("bssid").and_then(mac),
        width_mhz: mode.as_deref().and_then(width),
        txpower_dbm: data.get("txpower").and_then(Value::signed).and_then(|dbm| i8::try_from(dbm).ok()),
        noise_dbm: data.get("noise").and_then(noise),
    }
}

/// `HE80` is 80 MHz wide, `VHT80+80` 160, `HT40+` 40, `NOHT` 20.
fn width(mode: &str) -> Option<u32> {
    if mode.ends_with("80+80") {
        return Some(160);
    }
    if mode == "NOHT" {
        return Some(20);
    }
    let digits =
        mode.trim_end_matches(['+', '-']).trim_start_matches(|letter: char| !letter.is_ascii_digit());
    digits.parse().ok().filter(|width| matches!(width, 20 | 40 | 80 | 160 | 320))
}

/// Reads a notification of hostapd; `None` if it is of no use.
pub(crate) fn notice(name: &str, data: Elements<'_>) -> Option<Notice> {
    if name == "channel-switch" {
        return Some(Notice::ChannelSwitch);
    }
    let mac = address(data).filter(|mac| mac.is_station())?;
    let signal_dbm = || data.get("signal").and_then(dbm);
    let change = match name {
        "assoc" => Change::Assoc { signal_dbm: signal_dbm() },
        "sta-authorized" => Change::Authorized { auth_alg: data.get("auth-alg").and_then(self::name) },
        "disassoc" => Change::Disassoc,
        "deauth" => Change::Deauth,
        "local-deauth" => Change::LocalDeauth,
        "inactive-deauth" => Change::InactiveDeauth,
        "probe" => Change::Probe { signal_dbm: signal_dbm() },
        "key-mismatch" => Change::KeyMismatch,
        "beacon-report" => return Some(beacon_report(mac, data)),
        _ => return None,
    };
    Some(Notice::Station { mac, change })
}

fn beacon_report(mac: Mac, data: Elements<'_>) -> Notice {
    let heard = data.get("bssid").and_then(self::mac).filter(|heard| heard.is_station());
    let refused = data.get("rep-mode").and_then(Value::unsigned).is_some_and(|mode| mode != 0);
    let Some(heard) = heard.filter(|_| !refused) else { return Notice::BeaconRefused { mac } };
    // Half decibels from -110 dBm; 255 is "not available". Sent as one octet that may look negative.
    let rcpi = data.get("rcpi").and_then(Value::unsigned).filter(|rcpi| *rcpi <= 220);
    let rcpi_dbm = rcpi.and_then(|rcpi| i8::try_from(i64::try_from(rcpi / 2).ok()? - 110).ok());
    let rcpi_dbm = rcpi_dbm.filter(|dbm| *dbm < 0);
    Notice::Station { mac, change: Change::BeaconReport { heard, rcpi_dbm } }
}

/// Id and path in `ubus.object.add` and `ubus.object.remove`.
pub(crate) fn object(data: Elements<'_>) -> Option<(u32, String)> {
    Some((unsigned32(data.get("id"))?, data.get("path").and_then(name)?))
}

/// Reads an answer of `luci-rpc getDHCPLeases`.
pub(crate) fn leases(data: Elements<'_>) -> Vec<Host> {
    let leases = data.get("dhcp_leases").and_then(Value::elements);
    leases
        .into_iter()
        .flatten()
        .filter_map(|lease| {
            let lease = lease.value.elements()?;
            let name = lease.get("hostname").and_then(name);
            let address = lease.get("ipaddr").and_then(self::name);
            Some(Host { mac: lease.get("macaddr").and_then(mac)?, name, address })
        })
        .take(whichroom_wire::HOSTS_MAX)
        .collect()
}

/// Reads an answer of `luci-rpc getHostHints`.
pub(crate) fn hints(data: Elements<'_>) -> Vec<Host> {
    data.into_iter()
        .filter_map(|hint| {
            let fields = hint.value.elements()?;
            let addresses = fields.get("ipaddrs").and_then(Value::elements);
            let address = addresses
                .and_then(|addresses| addresses.into_iter().next())
                .and_then(|first| name(first.value));
            Some(Host { mac: mac_bytes(hint.name)?, name: fields.get("name").and_then(name), address })
        })
        .take(whichroom_wire::HOSTS_MAX)
        .collect()
}

/// Reads dnsmasq's `/tmp/dhcp.leases`: expiry, MAC, address, name or `*`, client id.
pub(crate) fn lease_file(text: &str) -> Vec<Host> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (_expiry, mac, address, name) =
                (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let name = (name != "*").then(|| name.chars().take(NAME_MAX).collect());
            Some(Host {
                mac: mac.parse().ok()?,
                name,
                address: Some(address.chars().take(NAME_MAX).collect()),
            })
        })
        .take(whichroom_wire::HOSTS_MAX)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::blobmsg;
    use proptest::prelude::*;
    use whichroom_ubus::blobmsg::Writer;

    fn fixture(json: &str) -> Writer {
        blobmsg(&serde_json::from_str(json).unwrap())
    }

    fn phone() -> Mac {
        "02:aa:00:00:00:01".parse().unwrap()
    }

    fn client(signal_dbm: Option<i8>, rx_packets: Option<u64>, rx_bytes: Option<u64>, rrm: u8) -> Client {
        Client { mac: phone(), authorized: true, signal_dbm, rx_packets, rx_bytes, rrm: Some(rrm) }
    }

    #[test]
    fn stations_of_every_release_are_read() {
        for (json, expected) in [
            (include_str!("../fixtures/get_clients-19.07.json"), client(None, None, None, 0)),
            (
                include_str!("../fixtures/get_clients-22.03.json"),
                client(Some(-50), Some(3587), Some(5_000_000_000), 115),
            ),
            (
                include_str!("../fixtures/get_clients-23.05.json"),
                client(Some(-82), Some(6190), Some(1_691_924), 114),
            ),
            (
                include_str!("../fixtures/get_clients-25.12.json"),
                client(Some(-48), Some(474), Some(91_497), 115),
            ),
        ] {
            let read = clients(fixture(json).as_bytes_elements()).unwrap();
            assert_eq!((read.clients.first(), read.flaws), (Some(&expected), 0));
        }
    }

    #[test]
    fn who_only_authenticated_is_no_station() {
        let read =
            clients(fixture(include_str!("../fixtures/get_clients-22.03.json")).as_bytes_elements()).unwrap();
        let listed: Vec<_> =
            read.clients.iter().map(|client| (client.mac.octets()[5], client.authorized)).collect();
        assert_eq!(listed, [(1, true), (3, false)]);
    }

    #[test]
    fn bad_entries_cost_only_themselves() {
        let json = r#"{"clients": {"nonsense": {}, "02:AA:00:00:00:01": {"authorized": true, "signal": "loud"},
            "02:aa:00:00:00:02": 7, "ff:ff:ff:ff:ff:ff": {"authorized": true}}}"#;
        let read = clients(fixture(json).as_bytes_elements()).unwrap();
        assert_eq!((read.clients.len(), read.flaws), (1, 3));
        assert_eq!(clients(fixture("{\"freq\": 1}").as_bytes_elements()), None);
        assert_eq!(clients(fixture("{\"clients\": 1}").as_bytes_elements()), None);
    }

    #[test]
    fn assoclists_are_read() {
        let old =
            assoclist(fixture(include_str!("../fixtures/assoclist-19.07.json")).as_bytes_elements()).unwrap();
        assert_eq!(
            old,
            [Associated {
                mac: phone(),
                signal_dbm: Some(-54),
                inactive_ms: Some(12_100),
                connected_s: Some(73_374),
                rx_packets: Some(493_905),
                rx_bytes: Some(12_398_480),
            }]
        );
        let new =
            assoclist(fixture(include_str!("../fixtures/assoclist-24.10.json")).as_bytes_elements()).unwrap();
        assert_eq!((new[0].signal_dbm, new[0].rx_bytes), (None, Some(6_000_000_000)));
    }

    #[test]
    fn an_interface_is_read() {
        let read = info(fixture(include_str!("../fixtures/info-21.02.json")).as_bytes_elements());
        let expected = Info {
            bssid: "02:b5:00:00:00:01".parse().ok(),
            width_mhz: Some(80),
            txpower_dbm: Some(20),
            noise_dbm: Some(-87),
        };
        assert_eq!(read, expected);
        for (mode, expected) in [
            ("HT20", Some(20)),
            ("HT40-", Some(40)),
            ("VHT80+80", Some(160)),
            ("EHT320-2", None),
            ("EHT320", Some(320)),
            ("NOHT", Some(20)),
            ("", None),
        ] {
            assert_eq!(width(mode), expected, "{mode}");
        }
    }

    #[test]
    fn a_refused_beacon_request_is_told_from_a_report() {
        let read = |json: &str| notice("beacon-report", fixture(json).as_bytes_elements());
        let zero = r#"{"address":"02:aa:00:00:00:01","rcpi":0,"bssid":"00:00:00:00:00:00","rep-mode":0}"#;
        let mode = r#"{"address":"02:aa:00:00:00:01","rcpi":80,"bssid":"02:b5:00:00:00:09","rep-mode":4}"#;
        assert_eq!(read(zero), Some(Notice::BeaconRefused { mac: phone() }));
        assert_eq!(read(mode), Some(Notice::BeaconRefused { mac: phone() }));
        for (rcpi, expected) in [(186, Some(-17)), (0, Some(-110)), (255, None), (220, None)] {
            let json = format!(
                r#"{{"address":"02:aa:00:00:00:01","channel":38,"rcpi":{rcpi},"bssid":"02:b5:00:00:00:09","start-time":-7160986498777481216}}"#
            );
            let Some(Notice::Station { change: Change::BeaconReport { rcpi_dbm, .. }, .. }) = read(&json)
            else {
                panic!("{json}")
            };
            assert_eq!(rcpi_dbm, expected);
        }
    }

    #[test]
    fn leases_files_are_read_leniently() {
        let text = "1767000000 02:AA:00:00:00:01 192.168.1.5 phone 01:02\n0 02:aa:00:00:00:02 10.0.0.2 * *\n\nduid 00:01\n1 x y z\n";
        let hosts = lease_file(text);
        let names: Vec<_> = hosts.iter().map(|host| host.name.as_deref()).collect();
        assert_eq!(names, [Some("phone"), None]);
        assert_eq!(
            lease_file(&"1 02:aa:00:00:00:01 a b c\n".repeat(10_000)).len(),
            whichroom_wire::HOSTS_MAX
        );
    }

    trait AsElements {
        fn as_bytes_elements(&self) -> Elements<'_>;
    }

    impl AsElements for Writer {
        fn as_bytes_elements(&self) -> Elements<'_> {
            Elements::new(self.as_bytes())
        }
    }

    fn read_all(bytes: &[u8]) {
        let data = Elements::new(bytes);
        let _ = (
            clients(data),
            assoclist(data),
            status(data),
            info(data),
            leases(data),
            hints(data),
            object(data),
        );
        for name in NOTICES {
            let _ = notice(name, data);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read_all(&bytes);
            lease_file(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn damaged_answers_are_read_without_a_panic(
            which in 0usize..5, damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let fixtures = [
                include_str!("../fixtures/get_clients-25.12.json"),
                include_str!("../fixtures/assoclist-19.07.json"),
                include_str!("../fixtures/get_status-24.10.json"),
                include_str!("../fixtures/leases.json"),
                include_str!("../fixtures/hints.json"),
            ];
            let mut bytes = fixture(fixtures[which]).as_bytes().to_vec();
            for (at, with) in damage {
                let at = at.index(bytes.len());
                bytes[at] = with;
            }
            read_all(&bytes);
        }

        #[test]
        fn a_signal_is_one_a_receiver_can_have_measured(signal in any::<i32>()) {
            let value = Value::I32(signal);
            prop_assert!(dbm(value).is_none_or(|dbm| (-120..0).contains(&dbm) && i32::from(dbm) == signal));
            prop_assert!(noise(value).is_none_or(|dbm| (-120..0).contains(&dbm)));
        }
    }
}
