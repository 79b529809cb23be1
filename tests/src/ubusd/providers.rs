//! What hostapd, rpcd, netifd and procd answer, in the shapes of their releases.

use std::collections::BTreeMap;
use std::time::Instant;

use whichroom_wire::Mac;

use super::access_point::{AccessPoint, Bss, Heard, Release, Station};
use super::core::Process;
use super::frame::status;
use super::value::{Fields, Value, field, fields_of};

/// Result of a method: fields, or nothing but OK, or a status.
pub type Reply = Result<Option<Fields>, u32>;

/// Answers one call.
pub fn answer(ap: &AccessPoint, path: &str, method: &str, arguments: Option<&Fields>, now: Instant) -> Reply {
    // Servers built on libubus refuse a call without the attribute, even if there are no arguments.
    let arguments = arguments.ok_or(status::INVALID_ARGUMENT)?;
    if let Some(ifname) = path.strip_prefix("hostapd.") {
        let bss = ap.bsss.get(ifname).ok_or(status::NOT_FOUND)?;
        return hostapd(ap, bss, method, arguments);
    }
    match (path, method) {
        ("iwinfo", _) => iwinfo(ap, method, arguments, now),
        ("luci-rpc", "getHostHints") => Ok(Some(host_hints(ap))),
        ("luci-rpc", "getDHCPLeases") => Ok(Some(leases(ap))),
        ("network.wireless", "status") => Ok(Some(wireless_status(ap))),
        ("usteer", "get_clients") => Ok(Some(hearing_map(ap))),
        ("system", "board") => Ok(Some(board(ap))),
        ("system", "info") => Ok(Some(fields_of([("uptime", Value::Int32(4711))]))),
        _ => Err(status::METHOD_NOT_FOUND),
    }
}

/// Whose object it is, and its signature.
pub fn signature(path: &str) -> (Process, Fields) {
    let text = || Value::Int32(3);
    let number = || Value::Int32(5);
    let none = || Value::Table(Fields::new());
    match path {
        "iwinfo" => {
            let device = || Value::table([("device", text())]);
            let assoclist = Value::table([("device", text()), ("mac", text())]);
            (Process::Rpcd, fields_of([("devices", none()), ("info", device()), ("assoclist", assoclist)]))
        }
        "luci-rpc" => (Process::Rpcd, fields_of([("getHostHints", none()), ("getDHCPLeases", none())])),
        "network.wireless" => (Process::Netifd, fields_of([("status", none())])),
        "usteer" => (Process::Usteer, fields_of([("get_clients", none()), ("local_info", none())])),
        "system" => (Process::Procd, fields_of([("board", none()), ("info", none())])),
        _ => {
            let request = Value::table([
                ("addr", text()),
                ("op_class", number()),
                ("channel", number()),
                ("duration", number()),
                ("mode", number()),
                ("bssid", text()),
                ("ssid", text()),
            ]);
            let methods = fields_of([
                ("get_clients", none()),
                ("get_status", none()),
                ("get_features", none()),
                ("del_client", Value::table([("addr", text()), ("reason", number())])),
                ("notify_response", Value::table([("notify_response", number())])),
                ("bss_mgmt_enable", Value::table([("neighbor_report", Value::Int32(7))])),
                ("rrm_nr_get_own", none()),
                ("rrm_nr_list", none()),
                ("rrm_beacon_req", request),
            ]);
            (Process::Hostapd, methods)
        }
    }
}

fn hostapd(ap: &AccessPoint, bss: &Bss, method: &str, arguments: &Fields) -> Reply {
    match method {
        "get_clients" => Ok(Some(clients(ap.release, bss))),
        "get_status" => Ok(Some(bss_status(ap.release, bss))),
        "get_features" => {
            Ok(Some(fields_of([("ht_supported", Value::bool(true)), ("vht_supported", Value::bool(true))])))
        }
        "rrm_nr_get_own" => {
            let own =
                [Value::text(bss.bssid.to_string()), Value::text(&bss.ssid), Value::text(neighbor(bss))];
            Ok(Some(fields_of([("value", Value::Array(own.into()))])))
        }
        "rrm_nr_list" => Ok(Some(fields_of([("list", Value::Array(Vec::new()))]))),
        "rrm_beacon_req" => beacon_request(bss, arguments).map(|()| None),
        "bss_mgmt_enable" | "notify_response" | "del_client" => Ok(None),
        _ => Err(status::METHOD_NOT_FOUND),
    }
}

/// The station must be authorised and able to do what the mode asks.
fn beacon_request(bss: &Bss, arguments: &Fields) -> Result<(), u32> {
    let number = |name| field(arguments, name).and_then(Value::as_u32).ok_or(status::INVALID_ARGUMENT);
    let (mode, _, _, _) = (number("mode")?, number("op_class")?, number("channel")?, number("duration")?);
    let mac: Option<Mac> =
        field(arguments, "addr").and_then(Value::as_text).and_then(|text| text.parse().ok());
    let station = bss.stations.get(&mac.ok_or(status::INVALID_ARGUMENT)?).ok_or(status::NOT_FOUND)?;
    let capable = mode <= 2 && station.rrm[0] >> (4 + mode) & 1 == 1;
    if station.authorized && capable { Ok(()) } else { Err(status::INVALID_COMMAND) }
}

fn neighbor(bss: &Bss) -> String {
    let bssid: String = bss.bssid.octets().iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{bssid}af590000{:02x}{:02x}09", if bss.freq_mhz < 5000 { 81 } else { 128 }, bss.channel())
}

fn clients(release: Release, bss: &Bss) -> Fields {
    let clients =
        bss.stations.iter().map(|(mac, station)| (mac.to_string(), client(release, station))).collect();
    fields_of([("freq", Value::Int32(bss.freq_mhz)), ("clients", Value::Table(clients))])
}

fn client(release: Release, station: &Station) -> Value {
    let yes = || Value::bool(true);
    let no = || Value::bool(false);
    let mut fields = fields_of([
        ("auth", yes()),
        ("assoc", yes()),
        ("authorized", Value::bool(station.authorized)),
        ("preauth", no()),
        ("wds", no()),
        ("wmm", yes()),
        ("ht", yes()),
        ("vht", yes()),
        ("he", no()),
        ("wps", no()),
        ("mfp", no()),
    ]);
    if release >= Release::R23_05 {
        fields.push(("mbo".to_owned(), no()));
    }
    let octets =
        |octets: &[u8]| Value::Array(octets.iter().map(|octet| Value::Int32((*octet).into())).collect());
    fields.extend(fields_of([
        ("rrm", octets(&station.rrm)),
        ("extended_capabilities", octets(&[1, 0, 72, 4, 0, 0, 0, 64])),
        ("aid", Value::Int32(station.aid)),
    ]));
    if station.without_driver_data {
        return Value::Table(fields);
    }
    let rate = if release >= Release::R23_05 { 86_670_000 } else { 866_700 };
    fields.extend(fields_of([
        ("bytes", Value::table([("rx", Value::Int64(station.rx_bytes)), ("tx", Value::Int64(9_000))])),
        ("airtime", Value::table([("rx", Value::Int64(0)), ("tx", Value::Int64(0))])),
        ("packets", Value::table([("rx", Value::Int32(station.rx_packets)), ("tx", Value::Int32(77))])),
        ("rate", Value::table([("rx", Value::Int32(rate)), ("tx", Value::Int32(rate))])),
        ("signal", Value::int(station.signal_dbm)),
        ("capabilities", Value::Table(Fields::new())),
    ]));
    Value::Table(fields)
}

fn bss_status(release: Release, bss: &Bss) -> Fields {
    let mut fields = Fields::new();
    if release >= Release::R25_12 {
        fields.push(("driver".to_owned(), Value::text("nl80211")));
    }
    let number = Value::Int32;
    fields.extend(fields_of([
        ("status", Value::text(&bss.status)),
        ("bssid", Value::text(bss.bssid.to_string())),
        ("ssid", Value::text(&bss.ssid)),
        ("freq", number(bss.freq_mhz)),
        ("channel", number(bss.channel())),
        ("op_class", number(if bss.freq_mhz < 5000 { 81 } else { 128 })),
        ("beacon_interval", Value::Int16(100)),
    ]));
    if release >= Release::R23_05 {
        fields.push(("bss_color".to_owned(), Value::int(-1)));
    }
    let zero = || number(0);
    fields.extend(fields_of([
        ("phy", Value::text(&bss.ifname)),
        ("rrm", Value::table([("neighbor_report_tx", zero())])),
        (
            "wnm",
            Value::table([
                ("bss_transition_query_rx", zero()),
                ("bss_transition_request_tx", zero()),
                ("bss_transition_response_rx", zero()),
            ]),
        ),
        (
            "airtime",
            Value::table([
                ("time", Value::Int64(259_561_738)),
                ("time_busy", Value::Int64(28_442_490)),
                ("utilization", Value::Int16(28)),
            ]),
        ),
        (
            "dfs",
            Value::table([
                ("cac_seconds", number(60)),
                ("cac_active", Value::bool(bss.status == "DFS")),
                ("cac_seconds_left", zero()),
            ]),
        ),
    ]));
    fields
}

fn iwinfo(ap: &AccessPoint, method: &str, arguments: &Fields, now: Instant) -> Reply {
    if method == "devices" {
        let devices = ap.bsss.keys().map(Value::text).chain([Value::text("radio0")]).collect();
        return Ok(Some(fields_of([("devices", Value::Array(devices))])));
    }
    let device = field(arguments, "device").and_then(Value::as_text).ok_or(status::INVALID_ARGUMENT)?;
    let bss = ap.bsss.get(device).ok_or(status::NOT_FOUND)?;
    match method {
        "info" => Ok(Some(info(bss))),
        "assoclist" => {
            let results = bss
                .stations
                .iter()
                .map(|(mac, station)| associated(ap.release, bss, *mac, station, now))
                .collect();
            Ok(Some(fields_of([("results", Value::Array(results))])))
        }
        _ => Err(status::METHOD_NOT_FOUND),
    }
}

fn info(bss: &Bss) -> Fields {
    fields_of([
        ("phy", Value::text("phy0")),
        ("ssid", Value::text(&bss.ssid)),
        ("bssid", Value::text(bss.bssid.to_string().to_uppercase())),
        ("country", Value::text("DE")),
        ("mode", Value::text("Master")),
        ("channel", Value::Int32(bss.channel())),
        ("frequency", Value::Int32(bss.freq_mhz)),
        ("frequency_offset", Value::Int32(0)),
        ("txpower", Value::Int32(bss.txpower_dbm)),
        ("txpower_offset", Value::Int32(0)),
        ("quality", Value::Int32(52)),
        ("quality_max", Value::Int32(70)),
        ("signal", Value::int(-58)),
        ("noise", Value::int(bss.noise_dbm)),
        ("bitrate", Value::Int32(866_700)),
        ("htmode", Value::text(if bss.freq_mhz < 5000 { "HT20" } else { "VHT80" })),
    ])
}

/// rpcd writes addresses in upper case, and keys with spaces.
fn associated(release: Release, bss: &Bss, mac: Mac, station: &Station, now: Instant) -> Value {
    let milliseconds = now.saturating_duration_since(station.active).as_millis();
    let seconds = now.saturating_duration_since(station.since).as_secs();
    let rate = |packets: u32, bytes: u64| {
        let mut fields = fields_of([
            ("packets", Value::Int32(packets)),
            ("bytes", Value::Int64(bytes)),
            ("ht", Value::bool(false)),
            ("vht", Value::bool(true)),
            ("he", Value::bool(false)),
        ]);
        if release >= Release::R24_10 {
            fields.push(("eht".to_owned(), Value::bool(false)));
        }
        let mode = [("mhz", Value::Int32(80)), ("rate", Value::Int32(866_700)), ("mcs", Value::Int32(9))];
        fields.extend(fields_of(mode));
        Value::Table(fields)
    };
    Value::table([
        ("mac", Value::text(mac.to_string().to_uppercase())),
        ("signal", Value::int(station.signal_dbm)),
        ("signal_avg", Value::int(station.signal_dbm)),
        ("noise", Value::int(bss.noise_dbm)),
        ("inactive", Value::Int32(u32::try_from(milliseconds).unwrap_or(u32::MAX))),
        ("connected_time", Value::Int32(u32::try_from(seconds).unwrap_or(u32::MAX))),
        ("thr", Value::Int32(38_906)),
        ("authorized", Value::bool(station.authorized)),
        ("authenticated", Value::bool(true)),
        ("preamble", Value::text("short")),
        ("wme", Value::bool(true)),
        ("mfp", Value::bool(false)),
        ("tdls", Value::bool(false)),
        ("mesh llid", Value::Int32(0)),
        ("mesh plink", Value::text("")),
        ("rx", rate(station.rx_packets, station.rx_bytes)),
        ("tx", rate(77, 9_000)),
    ])
}

fn host_hints(ap: &AccessPoint) -> Fields {
    let hint = |lease: &super::access_point::Lease| {
        let mut fields = fields_of([
            ("ipaddrs", Value::Array(vec![Value::text(&lease.address)])),
            ("ip6addrs", Value::Array(Vec::new())),
        ]);
        if let Some(name) = &lease.hostname {
            fields.push(("name".to_owned(), Value::text(name)));
        }
        (lease.mac.to_string().to_uppercase(), Value::Table(fields))
    };
    ap.leases.iter().map(hint).collect()
}

fn leases(ap: &AccessPoint) -> Fields {
    let lease = |lease: &super::access_point::Lease| {
        let mut fields = fields_of([("expires", Value::Int32(2_060))]);
        if let Some(name) = &lease.hostname {
            fields.push(("hostname".to_owned(), Value::text(name)));
        }
        fields.push(("macaddr".to_owned(), Value::text(lease.mac.to_string().to_uppercase())));
        fields.push(("ipaddr".to_owned(), Value::text(&lease.address)));
        Value::Table(fields)
    };
    let leases = ap.leases.iter().map(lease).collect();
    fields_of([("dhcp_leases", Value::Array(leases)), ("dhcp6_leases", Value::Array(Vec::new()))])
}

/// Stations, and in each the nodes that heard it; whether it is connected there has the width of a number.
fn hearing_map(ap: &AccessPoint) -> Fields {
    let mut stations: BTreeMap<Mac, Fields> = BTreeMap::new();
    let heard = |connected, signal_dbm| {
        Value::table([("connected", Value::bool(connected)), ("signal", Value::int(signal_dbm))])
    };
    for bss in ap.bsss.values() {
        for (mac, station) in &bss.stations {
            let node = format!("hostapd.{}", bss.ifname);
            stations.entry(*mac).or_default().push((node, heard(true, station.signal_dbm)));
        }
    }
    for (mac, nodes) in &ap.overheard {
        for (node, signal_dbm) in nodes {
            stations.entry(*mac).or_default().push((node.clone(), heard(false, *signal_dbm)));
        }
    }
    stations.into_iter().map(|(mac, nodes)| (mac.to_string(), Value::Table(nodes))).collect()
}

/// The passphrase that `network.wireless status` gives away; it must appear nowhere else.
pub const PASSPHRASE: &str = "correct-horse-battery";

fn wireless_status(ap: &AccessPoint) -> Fields {
    let interface = |bss: &Bss| {
        let config = Value::table([
            ("mode", Value::text("ap")),
            ("ssid", Value::text(&bss.ssid)),
            ("encryption", Value::text("psk2")),
            ("key", Value::text(PASSPHRASE)),
        ]);
        let ifname = Value::text(&bss.ifname);
        Value::table([("section", Value::text("default_radio0")), ("ifname", ifname), ("config", config)])
    };
    let interfaces = ap.bsss.values().map(interface).collect();
    let radio = Value::table([
        ("up", Value::bool(true)),
        ("config", Value::table([("channel", Value::text("auto"))])),
        ("interfaces", Value::Array(interfaces)),
    ]);
    fields_of([("radio0", radio)])
}

fn board(ap: &AccessPoint) -> Fields {
    let release = Value::table([
        ("distribution", Value::text("OpenWrt")),
        ("version", Value::text(ap.release.version())),
        ("target", Value::text("ramips/mt7621")),
    ]);
    fields_of([
        ("kernel", Value::text("6.6.86")),
        ("hostname", Value::text("stand-in")),
        ("model", Value::text("Stand-in access point")),
        ("board_name", Value::text("stand-in,access-point")),
        ("release", release),
    ])
}

/// A notification about a station, with the fields of its kind and release.
pub fn station_notification(ap: &AccessPoint, ifname: &str, name: &str, mac: Mac, signal_dbm: i32) -> Fields {
    let mut fields = fields_of([("address", Value::text(mac.to_string()))]);
    if ap.release >= Release::R24_10 {
        fields.push(("ifname".to_owned(), Value::text(ifname)));
    }
    let bss = ap.bsss.get(ifname);
    match name {
        "probe" | "auth" | "assoc" => {
            let target = if name == "probe" { None } else { bss.map(|bss| bss.bssid.to_string()) };
            let target = target.unwrap_or_else(|| "ff:ff:ff:ff:ff:ff".to_owned());
            fields.push(("target".to_owned(), Value::text(target)));
            if signal_dbm != 0 {
                fields.push(("signal".to_owned(), Value::int(signal_dbm)));
            }
            fields.push(("freq".to_owned(), Value::Int32(bss.map_or(0, |bss| bss.freq_mhz))));
        }
        "sta-authorized" => fields.push(("auth-alg".to_owned(), Value::text("open"))),
        _ => {}
    }
    fields
}

/// One entry of a station's beacon report.
pub fn beacon_report(ap: &AccessPoint, ifname: &str, mac: Mac, heard: Heard) -> Fields {
    let mut fields = station_notification(ap, ifname, "beacon-report", mac, 0);
    fields.retain(|(name, _)| name != "ifname");
    fields.extend(fields_of([
        ("op-class", Value::Int16(115)),
        ("channel", Value::Int16(36)),
        ("start-time", Value::Int64(0)),
        ("duration", Value::Int16(12_544)),
        ("report-info", Value::Int16(0)),
        ("rcpi", Value::Int16(heard.rcpi.into())),
        ("rsni", Value::Int16(0)),
        ("bssid", Value::text(heard.bssid.to_string())),
        ("antenna-id", Value::Int16(0)),
        ("parent-tsf", Value::Int16(0)),
    ]));
    if ap.release >= Release::R23_05 {
        fields.push(("rep-mode".to_owned(), Value::Int16(0)));
    }
    fields
}
