//! Advice as commands for the access point's shell (busybox ash), and what takes them back.
//!
//! What an access point says of a BSS names its interface, not the section of `/etc/config/wireless` it comes from;
//! so the commands ask netifd for it on the spot. They change nothing when there are uncommitted changes of somebody
//! else, keep what was there in a file for the undo, and put it back themselves if the BSS does not come up again.
//! They hold no tabs, which an interactive shell takes for completion. Interface names come over the network: one that
//! is not plain has no commands.

use serde::Serialize;
use whichroom_wire::{Id, Mac};

use crate::rows::RadioState;

/// What to paste on one access point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The access point.
    pub ap: Id,
    /// What it does, in a line.
    pub what: String,
    /// The same for programs.
    pub setting: Setting,
    /// The BSSs it is for; empty if it is for the whole access point.
    pub bssids: Vec<Mac>,
    /// Commands that do it.
    pub apply: String,
    /// Commands that undo it.
    pub undo: String,
}

/// What a [`Step`] sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Setting {
    /// Transmit power.
    TransmitPower {
        /// What it was.
        from_dbm: i8,
        /// What it becomes.
        to_dbm: i8,
    },
    /// Primary channel.
    Channel {
        /// Its number.
        channel: u32,
        /// Width, as it is or becomes.
        width_mhz: u32,
        /// It becomes another.
        changes_width: bool,
    },
    /// 802.11k and 802.11v on.
    Measurement,
    /// 802.11r on.
    FastTransition,
    /// usteer suggests another access point to who is heard worse than this, and kicks nobody.
    Suggest {
        /// Signal below which it does.
        below_dbm: i8,
    },
}

/// An option of `/etc/config/wireless`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wireless {
    /// Of the radio: `wifi-device`.
    Radio(&'static str),
    /// Of the BSS: `wifi-iface`.
    Iface(&'static str),
}

impl Wireless {
    /// Its name in the script, where sections are variables.
    fn path(self) -> String {
        match self {
            Wireless::Radio(option) => format!("wireless.$radio.{option}"),
            Wireless::Iface(option) => format!("wireless.$iface.{option}"),
        }
    }
}

/// What must hold before anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Nothing in particular.
    None,
    /// The country and the hardware allow this transmit power.
    AllowsPower(i8),
    /// The country and the hardware allow this channel.
    AllowsChannel(u32),
}

/// Whether an interface name may stand in a command.
pub(super) fn is_plain(ifname: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=15).contains(&ifname.len()) && ifname.bytes().all(plain) && !ifname.starts_with('-')
}

impl Setting {
    /// Tells undo files of different steps apart.
    fn name(self) -> String {
        match self {
            Setting::TransmitPower { to_dbm, .. } => format!("txpower-{to_dbm}"),
            Setting::Channel { channel, .. } => format!("channel-{channel}"),
            Setting::Measurement => "11kv".to_owned(),
            Setting::FastTransition => "11r".to_owned(),
            Setting::Suggest { .. } => "usteer".to_owned(),
        }
    }

    /// What it changes in `/etc/config/wireless`.
    fn options(self) -> Vec<(Wireless, String)> {
        let on = |option| (Wireless::Iface(option), "1".to_owned());
        match self {
            Setting::TransmitPower { to_dbm, .. } => vec![(Wireless::Radio("txpower"), to_dbm.to_string())],
            Setting::Channel { channel, width_mhz, changes_width } => {
                let mut options = vec![(Wireless::Radio("channel"), channel.to_string())];
                // The mode (HT, VHT, HE, EHT) stays.
                let width = format!("$(uci -q get wireless.$radio.htmode | sed 's/[0-9]*$/{width_mhz}/')");
                options.extend(changes_width.then_some((Wireless::Radio("htmode"), width)));
                options
            }
            Setting::Measurement => vec![on("ieee80211k"), on("bss_transition")],
            Setting::FastTransition => {
                vec![on("ieee80211r"), (Wireless::Iface("ft_over_ds"), "0".to_owned())]
            }
            Setting::Suggest { .. } => Vec::new(),
        }
    }

    fn guard(self) -> Guard {
        match self {
            Setting::TransmitPower { from_dbm, to_dbm } if to_dbm > from_dbm => Guard::AllowsPower(to_dbm),
            Setting::Channel { channel, .. } => Guard::AllowsChannel(channel),
            Setting::TransmitPower { .. }
            | Setting::Measurement
            | Setting::FastTransition
            | Setting::Suggest { .. } => Guard::None,
        }
    }
}

/// A step that sets the same for some BSSs of an access point; nothing if none of them can stand in a command.
pub(super) fn wireless(ap: &Id, bsses: &[&RadioState], what: String, setting: Setting) -> Option<Step> {
    let bsses: Vec<&RadioState> = bsses.iter().copied().filter(|bss| is_plain(&bss.ifname)).collect();
    let ifnames: Vec<&str> = bsses.iter().map(|bss| bss.ifname.as_str()).collect();
    let undo = format!("/etc/whichroom-undo-{}-{}", setting.name(), ifnames.first()?);
    let (guard, options) = (setting.guard(), setting.options());
    let paths: Vec<String> = options.iter().map(|(option, _)| format!("\"{}\"", option.path())).collect();
    let sets = options.iter().map(|(option, value)| format!("uci set \"{}={value}\"", option.path()));
    let apply = format!(
        r#"( # on {ap}: {what}
undo={undo}
stop() {{ echo "$*: nothing changed" >&2; exit 1; }}
[ -z "$(uci changes wireless)" ] || stop "wireless has uncommitted changes, commit or revert them first"
stop() {{ uci revert wireless; echo "$*: everything is as it was" >&2; exit 1; }}
before=
for ifname in {ifnames}; do
    iface=$(ubus call network.wireless status | jsonfilter -e "@.*.interfaces[@.ifname=\"$ifname\"].section")
    radio=$(uci -q get "wireless.$iface.device")
    case "$radio" in
    '') stop "$ifname is not set up in /etc/config/wireless" ;;
    *' '*) stop "$ifname has several radios ($radio)" ;;
    esac
{guard}    for option in {paths}; do
        old=$(uci -q get "$option") && old="set $option='$old'" || old="delete $option"
        before="$before$old
"
    done
    {sets} || stop "uci refused"
done
[ -e "$undo" ] || printf %s "$before" >"$undo"
uci commit wireless && wifi reload
tries=0; sleep 5
for ifname in {ifnames}; do
    until ubus call "hostapd.$ifname" get_status >/dev/null 2>&1; do
        tries=$((tries + 1)); sleep 2
        [ $tries -lt 30 ] && continue
        uci -q batch <"$undo"; uci commit wireless && wifi reload && rm "$undo"
        stop "$ifname did not come up"
    done
done
)
"#,
        ifnames = ifnames.join(" "),
        guard = guard.script(),
        paths = paths.join(" "),
        sets = sets.collect::<Vec<_>>().join(" &&\n        "),
    );
    let undo = undo_script(&undo, "wireless", "wifi reload");
    let bssids = bsses.iter().map(|bss| bss.bssid).collect();
    Some(Step { ap: ap.clone(), what, setting, bssids, apply, undo })
}

/// A change of `/etc/config/usteer` that lets it suggest and never kick, where its version can.
pub(super) fn usteer(ap: &Id, what: String, setting: Setting, options: &[(&str, String)]) -> Step {
    let undo = "/etc/whichroom-undo-usteer";
    let paths: Vec<String> =
        options.iter().map(|(option, _)| format!("'usteer.@usteer[0].{option}'")).collect();
    let sets = options.iter().map(|(option, value)| format!("uci set 'usteer.@usteer[0].{option}={value}'"));
    let sets = sets.collect::<Vec<_>>().join(" &&\n    ");
    let apply = format!(
        r#"( # on {ap}: {what}
undo={undo}
stop() {{ echo "$*" >&2; exit 1; }}
config() {{ ubus call usteer get_config 2>/dev/null; }}
config | grep -q '"aggressiveness"' || stop "no usteer here that can suggest without kicking: nothing changed"
[ -z "$(uci changes usteer)" ] || stop "usteer has uncommitted changes: commit or revert them first"
[ -e "$undo" ] || for option in {paths}; do
    old=$(uci -q get "$option") && echo "set $option='$old'" || echo "delete $option"
done >"$undo"
{sets} &&
    uci commit usteer && /etc/init.d/usteer reload || {{ uci revert usteer; stop "that failed: nothing changed"; }}
sleep 5
config | grep -q '"aggressiveness": 1,\{{0,1\}}$' && exit 0
uci -q batch <"$undo"; uci commit usteer && /etc/init.d/usteer reload && rm "$undo"
stop "this usteer does not take aggressiveness 1: everything is as it was"
)
"#,
        paths = paths.join(" "),
    );
    let undo = undo_script(undo, "usteer", "/etc/init.d/usteer reload");
    Step { ap: ap.clone(), what, setting, bssids: Vec::new(), apply, undo }
}

fn undo_script(file: &str, package: &str, reload: &str) -> String {
    format!(
        r#"( undo={file}
[ -e "$undo" ] || {{ echo "nothing to undo here" >&2; exit 1; }}
uci -q batch <"$undo"; uci commit {package} && {reload} && rm "$undo"
)
"#
    )
}

impl Guard {
    fn script(self) -> String {
        match self {
            Guard::None => String::new(),
            Guard::AllowsPower(dbm) => format!(
                r#"    limit=$(iwinfo "$ifname" txpowerlist | sed -n 's/^[* ]*\([0-9]\{{1,2\}}\) dBm.*/\1/p' | sort -n | tail -n 1)
    [ "${{limit:-0}}" -ge {dbm} ] || stop "{dbm} dBm is not allowed here, only ${{limit:-an unknown number of}} dBm"
"#
            ),
            Guard::AllowsChannel(channel) => format!(
                r#"    iwinfo "$ifname" freqlist | grep -v restricted | grep -q "Channel {channel})" || stop "channel {channel} is not allowed here"
"#
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_name_that_is_no_name_gets_no_commands() {
        let ap: Id = "kitchen".parse().unwrap();
        let step = |ifname: &str| {
            let bss = RadioState {
                at: crate::time::Time::default(),
                ap: ap.clone(),
                bssid: Mac::new([2, 0, 0, 0, 0, 1]),
                ifname: ifname.to_owned(),
                ssid: None,
                enabled: true,
                freq_mhz: None,
                channel: None,
                width_mhz: None,
                txpower_dbm: None,
                noise_dbm: None,
                utilization_permille: None,
                ft: None,
                rrm: None,
                btm: None,
            };
            wireless(&ap, &[&bss], String::new(), Setting::Measurement)
        };
        for ifname in ["", "a b", "$(reboot)", "a;b", "a\"]", "-rf", "0123456789abcdef", "a'b", "a\nb"] {
            assert_eq!(step(ifname), None, "{ifname}");
        }
        for ifname in ["phy0-ap0", "wlan0-1", "phy0.1-ap0", "ap-mld0"] {
            assert!(step(ifname).is_some_and(|step| !step.apply.contains('\t')), "{ifname}");
        }
    }
}
